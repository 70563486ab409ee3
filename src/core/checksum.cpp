#include "lighthouse/core/checksum.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "lighthouse/core/file.h"

namespace lighthouse {

std::string checksum_of(std::span<const std::byte> bytes) {
  return fmt::format("{:016x}", XXH3_64bits(bytes.data(), bytes.size()));
}

std::string checksum_of(const std::string& text) {
  return checksum_of(std::as_bytes(std::span(text)));
}

std::string checksum_of_file(const std::filesystem::path& path) {
  return checksum_of(MappedFile(path).bytes());
}

}  // namespace lighthouse
