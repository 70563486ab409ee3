// Checked access to the keys of a JSON object, such as config.json.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "lighthouse/core/error.h"

namespace lighthouse {

/// Reads keys of `json`, which must outlive the reader. Every error names the file.
class KeyReader {
 public:
  using Json = nlohmann::ordered_json;

  KeyReader(std::filesystem::path path, const Json& json) : path_(std::move(path)), json_(json) {}

  InputError refuse(const std::string& why) const { return InputError(fmt::format("{}: {}", path_.string(), why)); }

  /// Whether the key exists, null or not.
  bool names(const char* key) const { return json_.contains(key); }
  /// Whether the key exists and is not null.
  bool has(const char* key) const { return json_.contains(key) && !json_[key].is_null(); }

  int64_t integer(const char* key) const {
    if (!has(key)) throw refuse(fmt::format("{} is missing", key));
    return integer_from(1, key);
  }
  int64_t integer(const char* key, int64_t otherwise) const { return has(key) ? integer(key) : otherwise; }
  /// A number of at least 0.
  int64_t count(const char* key, int64_t otherwise) const { return has(key) ? integer_from(0, key) : otherwise; }

  double real(const char* key) const {
    if (!has(key)) throw refuse(fmt::format("{} is missing", key));
    const Json& value = json_[key];
    if (value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() > 0) return value;
    throw refuse(fmt::format("{} is {}; expected a number above 0", key, value.dump()));
  }
  double real(const char* key, double otherwise) const { return has(key) ? real(key) : otherwise; }

  bool boolean(const char* key) const {
    if (!has(key)) return false;
    if (!json_[key].is_boolean()) throw refuse(fmt::format("{} is {}; expected true or false", key, json_[key].dump()));
    return json_[key];
  }

  std::string text(const char* key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!json_[key].is_string()) throw refuse(fmt::format("{} is {}; expected a string", key, json_[key].dump()));
    return json_[key];
  }

  /// The list under `key`; empty if the key is missing.
  Json list(const char* key) const {
    if (!has(key)) return Json::array();
    if (!json_[key].is_array()) throw refuse(fmt::format("{} is {}; expected a list", key, json_[key].dump()));
    return json_[key];
  }

  /// The object under `key`; empty if the key is missing.
  Json object(const char* key) const {
    if (!has(key)) return Json::object();
    if (!json_[key].is_object()) throw refuse(fmt::format("{} is {}; expected an object", key, json_[key].dump()));
    return json_[key];
  }

 private:
  int64_t integer_from(int64_t least, const char* key) const {
    const Json& value = json_[key];
    constexpr int64_t kMost = int64_t{1} << 30;  // far above any sensible value; products fit 64 bits
    if (value.is_number_integer() && value.get<int64_t>() >= least && value.get<int64_t>() <= kMost) return value;
    throw refuse(fmt::format("{} is {}; expected a whole number from {} to {}", key, value.dump(), least, kMost));
  }

  std::filesystem::path path_;
  const Json& json_;
};

}  // namespace lighthouse
