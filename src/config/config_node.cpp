#include "config_node.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <system_error>

#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/path.h"

namespace lighthouse {
namespace {

// No config comes near these; a file that does is something else, or means harm (aliases of aliases of aliases).
constexpr uintmax_t kMaxBytes = 1 << 20;
constexpr int64_t kMaxNodes = 100'000;
constexpr int kMaxDepth = 32;

bool is_continuation(unsigned char byte) {
  return (byte & 0xC0) == 0x80;
}

/// Bytes of the UTF-8 sequence at `i`, or 0 if there is none.
size_t utf8_length(std::string_view text, size_t i) {
  const auto first = static_cast<unsigned char>(text[i]);
  const size_t length = first < 0x80   ? 1
                        : first < 0xC2 ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  if (i + length > text.size()) return 0;
  for (size_t j = 1; j < length; ++j) {
    if (!is_continuation(static_cast<unsigned char>(text[i + j]))) return 0;
  }
  return length;
}

/// Where things are in one piece of text.
class Place {
 public:
  /// A file, or text with a name of its own.
  static Place in_file(std::string name) { return {std::move(name), true}; }
  /// A setting of the command line, which has no lines.
  static Place in_setting(const std::string& setting) { return {"--set " + setting, false}; }
  /// Text that the program has written itself.
  static Place in_own_text(std::string name) { return {std::move(name), false}; }

  std::string at(int line) const {
    if (!has_lines_) return name_;
    return name_.empty() ? fmt::format("line {}", line + 1) : fmt::format("{}:{}", name_, line + 1);
  }

 private:
  Place(std::string name, bool has_lines) : name_(std::move(name)), has_lines_(has_lines) {}

  std::string name_;
  bool has_lines_;
};

void check_text(const std::string& text, const Place& place) {
  if (text.size() > kMaxBytes) {
    throw InputError(fmt::format("{}: {} bytes are too many for a config; expected at most {}", place.at(0),
                                 text.size(), kMaxBytes));
  }
  int line = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t length = text[i] == '\0' ? 0 : utf8_length(text, i);
    if (length == 0) throw InputError(fmt::format("{}: not UTF-8 text; is this a config?", place.at(line)));
    line += text[i] == '\n';
    i += length;
  }
}

/// From yaml-cpp's nodes to ours.
class Converter {
 public:
  explicit Converter(const Place& place) : place_(place) {}

  ConfigNode convert(const YAML::Node& yaml, int line, int depth = 0) {
    if (++nodes_ > kMaxNodes || depth > kMaxDepth) {
      throw InputError(fmt::format("{}: too {} for a config", place_.at(line), depth > kMaxDepth ? "deep" : "large"));
    }
    ConfigNode node;
    node.where = place_.at(line);
    if (yaml.IsScalar()) {
      node.kind = ConfigNode::Kind::kScalar;
      node.scalar = yaml.Scalar();
      node.quoted = yaml.Tag() == "!";
    } else if (yaml.IsSequence()) {
      node.kind = ConfigNode::Kind::kList;
      for (const YAML::Node& item : yaml) node.list.push_back(convert(item, line_of(item, line), depth + 1));
    } else if (yaml.IsMap()) {
      convert_map(yaml, line, depth, node);
    }
    return node;
  }

 private:
  static int line_of(const YAML::Node& yaml, int otherwise) {
    const int line = yaml.Mark().line;
    return line >= 0 ? line : otherwise;
  }

  void convert_map(const YAML::Node& yaml, int line, int depth, ConfigNode& node) {
    node.kind = ConfigNode::Kind::kMap;
    std::set<std::string> seen;
    std::vector<ConfigNode> merged;
    for (const auto& entry : yaml) {
      // A value counts as written where its key is: that is what a reader looks for.
      const int key_line = line_of(entry.first, line);
      if (!entry.first.IsScalar()) {
        throw InputError(fmt::format("{}: a key must be a single word", place_.at(key_line)));
      }
      const std::string key = entry.first.Scalar();
      if (!seen.insert(key).second) {
        throw InputError(fmt::format("{}: the key \"{}\" stands here a second time (first: {})", place_.at(key_line),
                                     key, node.find(key)->where));
      }
      if (key == "<<" && entry.first.Tag() != "!") {
        merged = merged_maps(convert(entry.second, key_line, depth + 1));
      } else {
        node.map.push_back({key, convert(entry.second, key_line, depth + 1)});
      }
    }
    for (const ConfigNode& map : merged) {
      for (const auto& entry : map.map) {
        if (node.find(entry.key) == nullptr) node.map.push_back(entry);
      }
    }
  }

  /// What the merge key << names, first those that win. A map's own keys win over all.
  static std::vector<ConfigNode> merged_maps(ConfigNode value) {
    std::vector<ConfigNode> maps = value.kind == ConfigNode::Kind::kList ? value.list : std::vector{value};
    const auto is_map = [](const ConfigNode& map) { return map.kind == ConfigNode::Kind::kMap; };
    if (!maps.empty() && std::all_of(maps.begin(), maps.end(), is_map)) return maps;
    throw InputError(
        fmt::format("{}: << merges a map, or a list of maps, such as the alias *name of a map that is "
                    "marked &name above",
                    value.where));
  }

  const Place& place_;
  int64_t nodes_ = 0;
};

ConfigNode parse_at(const std::string& yaml, const Place& place) {
  check_text(yaml, place);
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(yaml);
    if (documents.empty()) return Converter(place).convert(YAML::Node(), 0);
    if (documents.size() > 1) {
      throw InputError(fmt::format("{}: more than one YAML document; a config is one, without \"---\" in between",
                                   place.at(std::max(0, documents[1].Mark().line))));
    }
    return Converter(place).convert(documents[0], 0);
  } catch (const YAML::Exception& error) {
    throw InputError(fmt::format("{}: not valid YAML: {}", place.at(std::max(0, error.mark.line)), error.msg));
  }
}

void expect_sections(const ConfigNode& root) {
  if (root.kind == ConfigNode::Kind::kMap || root.kind == ConfigNode::Kind::kNull) return;
  throw InputError(fmt::format("{}: a config is a map of sections, like \"run:\"; this is a {}", root.where,
                               root.kind == ConfigNode::Kind::kList ? "list" : "single value"));
}

std::string read_config_file(const std::filesystem::path& path, const std::string& prefix) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw InputError(fmt::format("{}{}: no such file", prefix, path.string()));
  }
  if (std::filesystem::is_directory(path, error)) {
    throw InputError(fmt::format("{}{}: a folder; expected a config file", prefix, path.string()));
  }
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMaxBytes) {
    throw InputError(fmt::format("{}{}: {} bytes are too many for a config; expected at most {}", prefix, path.string(),
                                 size, kMaxBytes));
  }
  return read_file(path);
}

/// The path that a node names.
std::string expanded(const ConfigNode& node) {
  try {
    return expand_path(node.scalar);
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: {}", node.where, error.what()));
  }
}

/// Puts the file's folder where values begin with kConfigFolder.
void insert_folder(ConfigNode& node, const std::filesystem::path& folder) {
  for (ConfigNode& child : node.list) insert_folder(child, folder);
  for (auto& [key, child] : node.map) insert_folder(child, folder);
  if (!node.scalar.starts_with(kConfigFolder)) return;
  const std::string rest = node.scalar.substr(std::string_view(kConfigFolder).size());
  if (rest.empty() || rest.front() == '/') node.scalar = folder.string() + rest;
}

/// `open` are the files that extend one another down to this one; `prefix` says which line wants it.
ConfigNode load_extended(const std::filesystem::path& path, std::vector<std::filesystem::path>& open,
                         const std::string& prefix) {
  std::error_code error;
  std::filesystem::path canonical = std::filesystem::weakly_canonical(path, error);
  if (error) canonical = path;
  if (std::find(open.begin(), open.end(), canonical) != open.end()) {
    throw InputError(fmt::format("{}{} extends itself, through {} file(s)", prefix, path.string(), open.size()));
  }
  ConfigNode node = parse_at(read_config_file(path, prefix), Place::in_file(path.string()));
  expect_sections(node);
  insert_folder(node, canonical.parent_path());
  const auto extends =
      std::find_if(node.map.begin(), node.map.end(), [](const auto& entry) { return entry.key == "extends"; });
  if (extends == node.map.end()) return node;

  const ConfigNode value = std::move(extends->value);
  node.map.erase(extends);
  if (value.kind != ConfigNode::Kind::kScalar || value.scalar.empty()) {
    throw InputError(fmt::format("{}: extends expects the name of one file, relative to this one", value.where));
  }
  open.push_back(canonical);
  ConfigNode base = load_extended(path.parent_path() / expanded(value), open, value.where + ": extends ");
  open.pop_back();
  merge(base, std::move(node));
  return base;
}

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> keys;
  size_t begin = 0;
  for (size_t dot = path.find('.'); dot != std::string::npos; dot = path.find('.', begin)) {
    keys.push_back(path.substr(begin, dot - begin));
    begin = dot + 1;
  }
  keys.push_back(path.substr(begin));
  return keys;
}

/// `key` as the number of an element, or -1.
int64_t element_number(std::string_view key) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
  return error == std::errc() && end == key.data() + key.size() && number >= 0 ? number : -1;
}

/// The child of `node` that a setting names; in a map it is made if it is missing.
ConfigNode& child_of(ConfigNode& node, const std::string& key, const std::string& parent, const std::string& where) {
  if (node.kind == ConfigNode::Kind::kNull) node.kind = ConfigNode::Kind::kMap;
  if (node.kind == ConfigNode::Kind::kMap) {
    if (ConfigNode* child = node.find(key)) return *child;
    node.map.push_back({key, ConfigNode{}});
    node.map.back().value.where = where;
    return node.map.back().value;
  }
  if (node.kind == ConfigNode::Kind::kScalar) {
    throw InputError(fmt::format("{}: {} is a single value (\"{}\", {}); it has no \"{}\"", where, parent, node.scalar,
                                 node.where, key));
  }
  const int64_t number = element_number(key);
  const auto size = static_cast<int64_t>(node.list.size());
  if (number < 0 || number >= size) {
    throw InputError(fmt::format("{}: {} is a list of {}{}; there is no \"{}\"", where, parent, size,
                                 size == 0 ? std::string() : fmt::format(", numbered 0 to {}", size - 1), key));
  }
  return node.list[static_cast<size_t>(number)];
}

ConfigNode parse_setting_value(const std::string& value, const Place& place) {
  ConfigNode text;
  text.kind = ConfigNode::Kind::kScalar;
  text.where = place.at(0);
  text.quoted = true;
  // Nothing can be an alias here, so a leading star is a file pattern; and nothing after "=" is empty text.
  if (value.empty() || value[0] == '*') {
    text.scalar = value;
    check_text(value, place);
    return text;
  }
  return parse_at(value, place);
}

}  // namespace

const ConfigNode* ConfigNode::find(std::string_view key) const {
  for (const auto& [name, node] : map) {
    if (name == key) return &node;
  }
  return nullptr;
}

ConfigNode* ConfigNode::find(std::string_view key) {
  return const_cast<ConfigNode*>(static_cast<const ConfigNode*>(this)->find(key));
}

const std::string& ConfigNode::where_of(std::string_view path) const {
  const size_t dot = path.find('.');
  const std::string_view key = path.substr(0, dot);
  const ConfigNode* child = find(key);
  if (kind == Kind::kList) {
    const int64_t number = element_number(key);
    if (number >= 0 && number < static_cast<int64_t>(list.size())) child = &list[static_cast<size_t>(number)];
  }
  if (child == nullptr) return where;
  return dot == std::string_view::npos ? child->where : child->where_of(path.substr(dot + 1));
}

ConfigNode parse_tree(const std::string& yaml, const std::string& origin, bool with_lines) {
  ConfigNode root = parse_at(yaml, with_lines ? Place::in_file(origin) : Place::in_own_text(origin));
  expect_sections(root);
  if (const ConfigNode* extends = root.find("extends")) {
    throw InputError(fmt::format("{}: extends works in a config file only", extends->where));
  }
  return root;
}

ConfigNode load_tree(const std::filesystem::path& path) {
  std::vector<std::filesystem::path> open;
  return load_extended(path, open, "");
}

void merge(ConfigNode& base, ConfigNode over) {
  if (base.kind == ConfigNode::Kind::kMap && over.kind == ConfigNode::Kind::kNull) return;
  if (base.kind != ConfigNode::Kind::kMap || over.kind != ConfigNode::Kind::kMap) {
    base = std::move(over);
    return;
  }
  for (auto& [key, value] : over.map) {
    if (ConfigNode* existing = base.find(key)) {
      merge(*existing, std::move(value));
    } else {
      base.map.push_back({std::move(key), std::move(value)});
    }
  }
  base.where = over.where;
}

void apply_setting(ConfigNode& root, const std::string& setting) {
  const Place place = Place::in_setting(setting);
  const size_t equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw InputError(fmt::format("{}: expected key.path=value, like --set batch.sequence_length=4096", place.at(0)));
  }
  const std::string path = setting.substr(0, equals);
  if (path == "extends") throw InputError(fmt::format("{}: extends works in a config file only", place.at(0)));

  ConfigNode* node = &root;
  std::string parent = "the config";
  const std::vector<std::string> keys = split_path(path);
  for (const std::string& key : keys) {
    if (key.empty()) throw InputError(fmt::format("{}: the key path \"{}\" has an empty part", place.at(0), path));
    if (keys.size() > kMaxDepth) throw InputError(fmt::format("{}: the key path is too deep", place.at(0)));
    node = &child_of(*node, key, parent, place.at(0));
    parent = parent == "the config" ? key : fmt::format("{}.{}", parent, key);
  }
  merge(*node, parse_setting_value(setting.substr(equals + 1), place));
}

}  // namespace lighthouse
