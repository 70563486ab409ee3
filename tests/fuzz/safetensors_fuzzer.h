// The function under test of the fuzzer and of the corpus test.
#pragma once

#include <cstddef>
#include <cstdint>

/// Opens the bytes as a safetensors file and reads every byte of every tensor. Invalid files must throw InputError,
/// which this catches; anything else is a bug.
void read_as_safetensors(const uint8_t* data, size_t size);
