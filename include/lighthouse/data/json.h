// JSON files that come from elsewhere.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "lighthouse/core/file.h"

namespace lighthouse {

/// Whether JSON text opens more brackets than any file that is read here: nlohmann's values are copied and printed by
/// recursion, which a file of nothing but brackets would take past the end of the stack.
bool nests_deeply(std::string_view json);

/// A file's JSON, of one of nlohmann's types; a discarded value if it is none, or nests deeply. Throws InputError if
/// the file cannot be read.
template <typename Json>
Json read_json_file(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  return nests_deeply(text) ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
}

}  // namespace lighthouse
