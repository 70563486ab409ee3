// Reading of JSON files that other programs wrote.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lighthouse/core/file.h"

namespace lighthouse {

/// Whether JSON text nests deeper than any file that this program reads. nlohmann::json copies and prints values
/// recursively, so that a file of nothing but brackets would overflow the stack.
bool nests_deeply(std::string_view json);

/// Parses a file as `Json`, one of nlohmann's types. Returns a discarded value if the file is not JSON or nests too
/// deeply. Throws InputError if the file cannot be read.
template <typename Json>
Json read_json_file(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  return nests_deeply(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

}  // namespace lighthouse
