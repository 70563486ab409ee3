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
#include "lighthouse/core/utf8.h"

namespace lighthouse {
namespace {

// Limits far above any real config. They stop wrong files, and malicious ones (aliases of aliases of aliases).
constexpr uintmax_t kMaxBytes = 1 << 20;
constexpr int64_t kMaxNodes = 100'000;
constexpr int kMaxDepth = 32;

/// Formats positions in one source text.
class Place {
 public:
  /// A file, or other text with line numbers.
  static Place in_file(std::string name) { return {std::move(name), true}; }
  /// A setting of the command line.
  static Place in_setting(const std::string& setting) { return {"--set " + setting, false}; }
  /// Text that the program wrote itself.
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
    throw InputError(
        fmt::format("{}: the config has {} bytes; expected at most {}", place.at(0), text.size(), kMaxBytes));
  }
  const size_t invalid = std::min(first_invalid_utf8(text), text.find('\0'));
  if (invalid == std::string::npos) return;
  const auto line = std::count(text.begin(), text.begin() + static_cast<ptrdiff_t>(invalid), '\n');
  throw InputError(fmt::format("{}: not UTF-8 text; is this a config?", place.at(static_cast<int>(line))));
}

/// Converts yaml-cpp's nodes to ConfigNodes.
class Converter {
 public:
  explicit Converter(const Place& place) : place_(place) {}

  ConfigNode convert(const YAML::Node& yaml, int line, int depth = 0) {
    if (++nodes_ > kMaxNodes || depth > kMaxDepth) {
      throw InputError(fmt::format("{}: the config is too {}", place_.at(line), depth > kMaxDepth ? "deep" : "large"));
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
      // A value's position is that of its key, which readers look for.
      const int key_line = line_of(entry.first, line);
      if (!entry.first.IsScalar()) {
        throw InputError(fmt::format("{}: a key must be a single word", place_.at(key_line)));
      }
      const std::string key = entry.first.Scalar();
      if (!seen.insert(key).second) {
        throw InputError(
            fmt::format("{}: duplicate key \"{}\" (first: {})", place_.at(key_line), key, node.find(key)->where));
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

  /// The maps that the merge key << names, in order of precedence. A map's own keys precede all of them.
  static std::vector<ConfigNode> merged_maps(ConfigNode value) {
    std::vector<ConfigNode> maps = value.kind == ConfigNode::Kind::kList ? value.list : std::vector{value};
    const auto is_map = [](const ConfigNode& map) { return map.kind == ConfigNode::Kind::kMap; };
    if (!maps.empty() && std::all_of(maps.begin(), maps.end(), is_map)) return maps;
    throw InputError(
        fmt::format("{}: << expects a map or a list of maps, such as the alias *name of a map "
                    "marked &name earlier",
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
      throw InputError(fmt::format("{}: the file has more than one YAML document; remove the \"---\" between them",
                                   place.at(std::max(0, documents[1].Mark().line))));
    }
    return Converter(place).convert(documents[0], 0);
  } catch (const YAML::Exception& error) {
    throw InputError(fmt::format("{}: not valid YAML: {}", place.at(std::max(0, error.mark.line)), error.msg));
  }
}

void expect_sections(const ConfigNode& root) {
  if (root.kind == ConfigNode::Kind::kMap || root.kind == ConfigNode::Kind::kNull) return;
  throw InputError(fmt::format("{}: expected a map of sections, like \"run:\"; this is a {}", root.where,
                               root.kind == ConfigNode::Kind::kList ? "list" : "single value"));
}

std::string read_config_file(const std::filesystem::path& path, const std::string& prefix) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    throw InputError(fmt::format("{}{} does not exist", prefix, path.string()));
  }
  if (std::filesystem::is_directory(path, error)) {
    throw InputError(fmt::format("{}{} is a folder; expected a config file", prefix, path.string()));
  }
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size > kMaxBytes) {
    throw InputError(
        fmt::format("{}{} has {} bytes; expected a config of at most {}", prefix, path.string(), size, kMaxBytes));
  }
  return read_file(path);
}

/// Expands the path in a node.
std::string expanded(const ConfigNode& node) {
  try {
    return expand_path(node.scalar);
  } catch (const InputError& error) {
    throw InputError(fmt::format("{}: {}", node.where, error.what()));
  }
}

/// Replaces kConfigFolder at the start of values by the file's folder.
void insert_folder(ConfigNode& node, const std::filesystem::path& folder) {
  for (ConfigNode& child : node.list) insert_folder(child, folder);
  for (auto& [key, child] : node.map) insert_folder(child, folder);
  if (!node.scalar.starts_with(kConfigFolder)) return;
  const std::string rest = node.scalar.substr(std::string_view(kConfigFolder).size());
  if (rest.empty() || rest.front() == '/') node.scalar = folder.string() + rest;
}

/// `open`: the chain of files that extend one another down to this one. `prefix`: the line that extends this file, for
/// messages.
ConfigNode load_extended(const std::filesystem::path& path, std::vector<std::filesystem::path>& open,
                         const std::string& prefix) {
  std::error_code error;
  std::filesystem::path canonical = std::filesystem::weakly_canonical(path, error);
  if (error) canonical = path;
  if (std::find(open.begin(), open.end(), canonical) != open.end()) {
    throw InputError(fmt::format("{}{} extends itself through {} file(s)", prefix, path.string(), open.size()));
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
    throw InputError(fmt::format("{}: extends expects the path of one file, relative to this one", value.where));
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

/// `key` as the index of a list element, or -1.
int64_t element_number(std::string_view key) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
  return error == std::errc() && end == key.data() + key.size() && number >= 0 ? number : -1;
}

/// The child of `node` that a setting names. Creates a missing child of a map.
ConfigNode& child_of(ConfigNode& node, const std::string& key, const std::string& parent, const std::string& where) {
  if (node.kind == ConfigNode::Kind::kNull) node.kind = ConfigNode::Kind::kMap;
  if (node.kind == ConfigNode::Kind::kMap) {
    if (ConfigNode* child = node.find(key)) return *child;
    node.map.push_back({key, ConfigNode{}});
    node.map.back().value.where = where;
    return node.map.back().value;
  }
  if (node.kind == ConfigNode::Kind::kScalar) {
    throw InputError(fmt::format("{}: {} is a single value (\"{}\", {}) and has no \"{}\"", where, parent, node.scalar,
                                 node.where, key));
  }
  const int64_t number = element_number(key);
  const auto size = static_cast<int64_t>(node.list.size());
  if (number < 0 || number >= size) {
    throw InputError(fmt::format("{}: {} is a list of {}{} and has no \"{}\"", where, parent, size,
                                 size == 0 ? std::string() : fmt::format(", numbered 0 to {}", size - 1), key));
  }
  return node.list[static_cast<size_t>(number)];
}

ConfigNode parse_setting_value(const std::string& value, const Place& place) {
  ConfigNode text;
  text.kind = ConfigNode::Kind::kScalar;
  text.where = place.at(0);
  text.quoted = true;
  // A setting cannot use aliases, so a leading star starts a file pattern. No value after "=" is empty text.
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
    throw InputError(fmt::format("{}: extends is allowed only in a config file", extends->where));
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
  if (path == "extends") throw InputError(fmt::format("{}: extends is allowed only in a config file", place.at(0)));

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
