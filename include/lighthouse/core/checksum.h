// Checksums of files and of text, for checkpoints. XXH3, 64 bits: finds flipped bits at the speed of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace lighthouse {

/// Sixteen hexadecimal digits.
std::string checksum_of(std::span<const std::byte> bytes);
std::string checksum_of(const std::string& text);
/// Reads the whole file. Throws InputError if it cannot be read.
std::string checksum_of_file(const std::filesystem::path& path);

}  // namespace lighthouse
