// A config as written: a tree of maps, lists and scalars, each with its position in the source.
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

  /// The value of a key in a map, or null.
  const ConfigNode* find(std::string_view key) const;
  ConfigNode* find(std::string_view key);

  /// The position of the value at a path such as "stages.0.steps", or of the innermost node on the path that exists.
  const std::string& where_of(std::string_view path) const;
};

struct ConfigNode::Entry {
  std::string key;
  ConfigNode value;
};

/// Parses YAML text. Throws InputError with the line if the text is not valid YAML or not UTF-8, has a duplicate key,
/// or exceeds the limits on size and depth. `origin` names the text in messages; with `with_lines` false, messages omit
/// line numbers, because no person has seen the text.
ConfigNode parse_tree(const std::string& yaml, const std::string& origin, bool with_lines = true);

/// Reads a file and merges it over the files that it extends.
ConfigNode load_tree(const std::filesystem::path& path);

/// Merges `over` into `base`: maps key by key; lists and scalars replace. An empty map changes nothing.
void merge(ConfigNode& base, ConfigNode over);

/// Applies "key.path=value", where the value is YAML and a number selects an element of a list. Throws InputError.
void apply_setting(ConfigNode& root, const std::string& setting);

}  // namespace lighthouse
