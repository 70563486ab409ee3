// A config as it was written: a tree of maps, lists and scalars, each of which knows where it came from.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lighthouse {

struct ConfigNode {
  struct Entry;  // of a map: a key and its value
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string where;  // "configs/a.yaml:12" or "--set a.b=value"
  std::string scalar;
  bool quoted = false;  // "42" in quotes is text, not a number
  std::vector<ConfigNode> list;
  std::vector<Entry> map;  // in the order of the file

  /// A map's entry, or null.
  const ConfigNode* find(std::string_view key) const;
  ConfigNode* find(std::string_view key);

  /// Where the value at "stages.0.steps" was written, or the innermost of what holds it.
  const std::string& where_of(std::string_view path) const;
};

struct ConfigNode::Entry {
  std::string key;
  ConfigNode value;
};

/// Reads YAML text. Throws InputError, with the line, if it is not valid YAML or not UTF-8, has a key twice, or is
/// larger or deeper than any config. `origin` names the text in messages, its lines only if a person has seen them.
ConfigNode parse_tree(const std::string& yaml, const std::string& origin, bool with_lines = true);

/// Reads a file and those that it extends, and lays it over them.
ConfigNode load_tree(const std::filesystem::path& path);

/// Lays `over` over `base`: maps key by key, lists and scalars as a whole. A map without entries changes nothing.
void merge(ConfigNode& base, ConfigNode over);

/// Applies "key.path=value"; value is YAML, elements of lists go by number. Throws InputError.
void apply_setting(ConfigNode& root, const std::string& setting);

}  // namespace lighthouse
