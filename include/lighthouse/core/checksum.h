// XXH3 checksums (64 bits) of files and text, for checkpoints. They detect damage, not tampering.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace lighthouse {

/// The checksum as sixteen hexadecimal digits.
std::string checksum_of(std::span<const std::byte> bytes);
std::string checksum_of(const std::string& text);
/// The checksum of a whole file. Throws InputError if the file cannot be read.
std::string checksum_of_file(const std::filesystem::path& path);

}  // namespace lighthouse
