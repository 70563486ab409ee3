// What the fuzzer and the test that replays its corpus do with some bytes.
#pragma once

#include <cstddef>
#include <cstdint>

/// Opens the bytes as a safetensors file, and reads every byte of every tensor. They are sound or refused with an
/// InputError; anything else is a bug.
void read_as_safetensors(const uint8_t* data, size_t size);
