// Token shards written byte by byte.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/temporary_folder.h"

namespace lighthouse {

/// llm.c's 16-bit format.
inline std::string write_shard(const std::filesystem::path& path, const std::vector<int32_t>& tokens) {
  std::vector<int32_t> header(256);
  header[0] = 20240520;
  header[1] = 1;
  header[2] = static_cast<int32_t>(tokens.size());
  const std::vector<uint16_t> narrow(tokens.begin(), tokens.end());
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(header.data()), 1024);
  file.write(reinterpret_cast<const char*>(narrow.data()), static_cast<std::streamsize>(narrow.size() * 2));
  return path.string();
}

}  // namespace lighthouse
