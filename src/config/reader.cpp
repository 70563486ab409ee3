#include "reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>

#include "flat.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/path.h"
#include "lighthouse/core/text.h"
#include "schema.h"

namespace lighthouse {
namespace {

using Kind = ConfigNode::Kind;

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<double> parse_finite(const ConfigNode& node) {
  if (node.quoted) return std::nullopt;
  const std::optional<double> number = parse_number<double>(node.scalar);
  return number && std::isfinite(*number) ? number : std::nullopt;
}

/// Describes a value for messages: "is 5", "is \"4k\"", "is a list".
std::string describe(const ConfigNode& node) {
  constexpr size_t kLongest = 60;
  switch (node.kind) {
    case Kind::kNull:
      return "has no value";
    case Kind::kList:
      return "is a list";
    case Kind::kMap:
      return "is a map";
    case Kind::kScalar:
      break;
  }
  if (parse_finite(node)) return "is " + node.scalar;
  const bool is_long = node.scalar.size() > kLongest;
  return fmt::format("is \"{}\"{}", is_long ? node.scalar.substr(0, kLongest) + "..." : node.scalar,
                     node.quoted && parse_number<double>(node.scalar) ? " in quotes, which is text" : "");
}

/// For 1e5, 100000.0, 1_000 and 98,304: a hint with the number in plain digits.
std::string whole_number_hint(const ConfigNode& node, const IntRange& range) {
  std::string digits = node.scalar;
  std::erase_if(digits, [](char c) { return c == ',' || c == '_'; });
  const std::optional<double> number = parse_number<double>(digits);
  if (!number || std::abs(*number) > 9e15 || std::floor(*number) != *number) return "";
  const auto whole = static_cast<int64_t>(*number);
  return range.holds(whole) ? fmt::format("; write {}", whole) : "";
}

std::string quoted_list(const std::vector<std::string>& words) {
  return words.size() == 1 ? fmt::format("\"{}\"", words[0]) : "one of " + join(words, ", ");
}

bool contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// The path of a key that was written in the wrong section ("run.seed"), or "".
std::string elsewhere(const std::string& key) {
  RunConfig config;
  config.stages.resize(1);
  for (const auto& [path, value] : flatten(config)) {
    const std::string dotted = "." + path + ".";
    const size_t at = dotted.find("." + key + ".");
    if (at != std::string::npos) return path.substr(0, at + key.size());
  }
  return "";
}

/// "; did you mean ...?" for an unknown key, or "".
std::string suggestion(const std::string& key, const std::vector<std::string>& names) {
  std::string meant = nearest_name(key, names);
  if (meant.empty()) meant = elsewhere(key);
  return meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant);
}

/// Collects the keys of one section.
class NameCollector final : public FieldVisitor {
 public:
  std::vector<std::string> names;
  std::vector<std::string> aliases;

  void integer(const char* name, int64_t&, const IntRange&, const char*) override { names.emplace_back(name); }
  void real(const char* name, double&, const RealRange&, const char*) override { names.emplace_back(name); }
  void boolean(const char* name, bool&, const char*) override { names.emplace_back(name); }
  void text(const char* name, std::string&, TextRule, const char*) override { names.emplace_back(name); }
  void choice(const char* name, std::string&, const Choices&, const char*) override { names.emplace_back(name); }
  void integers(const char* name, std::vector<int64_t>&, const IntRange&, const char*) override {
    names.emplace_back(name);
  }
  void section(const char* name, const Fields&, const char*) override { names.emplace_back(name); }
  void list(const char* name, const List&, const char*) override { names.emplace_back(name); }
  void preset(const char* name, const Choices&, const std::function<void(const std::string&)>&, const char*) override {
    names.emplace_back(name);
  }
  void also_called(const char* alias, const char*, double&, const RealRange&) override { aliases.emplace_back(alias); }
};

/// Reads the fields of one map. Each section inside the map has its own Reader.
class Reader final : public FieldVisitor {
 public:
  /// `path` names the map in messages: "stages.0", or "" for the whole config.
  static void read(const ConfigNode& map, const std::string& path, bool saved, const Fields& fields) {
    Reader reader(map, path, saved);
    reader.refuse_unknown_keys(fields);
    fields(reader);
  }

  void integer(const char* name, int64_t& value, const IntRange& range, const char* /*doc*/) override {
    const ConfigNode* node = map_.find(name);
    if (node == nullptr) return require(range.holds(value), name, range.str());
    value = whole_number(*node, path_of(name), range);
  }

  void real(const char* name, double& value, const RealRange& range, const char* /*doc*/) override {
    const ConfigNode* node = map_.find(name);
    if (node == nullptr) return require(range.holds(value), name, range.str());
    const std::optional<double> number = node->kind == Kind::kScalar ? parse_finite(*node) : std::nullopt;
    if (!number || !range.holds(*number)) refuse(*node, path_of(name), range.str());
    value = *number;
  }

  void boolean(const char* name, bool& value, const char* /*doc*/) override {
    const ConfigNode* node = map_.find(name);
    if (node == nullptr) return;
    const bool known =
        node->kind == Kind::kScalar && !node->quoted && (node->scalar == "true" || node->scalar == "false");
    if (!known) refuse(*node, path_of(name), "true or false");
    value = node->scalar == "true";
  }

  void text(const char* name, std::string& value, TextRule rule, const char* /*doc*/) override {
    const ConfigNode* node = map_.find(name);
    const char* expected = rule == TextRule::kNotEmpty ? "text that is not empty" : "text (\"\" for none)";
    if (node == nullptr) return require(rule == TextRule::kAny || !value.empty(), name, expected);
    if (node->kind != Kind::kScalar || (rule == TextRule::kNotEmpty && node->scalar.empty())) {
      refuse(*node, path_of(name), expected);
    }
    const bool printable = std::none_of(node->scalar.begin(), node->scalar.end(),
                                        [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
    if (!printable) {
      throw InputError(fmt::format("{}: {} has line breaks, tabs or other control characters; expected a single line",
                                   node->where, path_of(name)));
    }
    value = node->scalar;
  }

  void path(const char* name, std::string& value, TextRule rule, const char* doc) override {
    text(name, value, rule, doc);
    const ConfigNode* node = map_.find(name);
    if (node == nullptr || saved_) return;
    try {
      value = expand_path(value);
    } catch (const InputError& error) {
      throw InputError(fmt::format("{}: {}: {}", node->where, path_of(name), error.what()));
    }
  }

  void choice(const char* name, std::string& value, const Choices& choices, const char* /*doc*/) override {
    if (const ConfigNode* node = map_.find(name)) value = chosen(*node, name, choices);
  }

  void integers(const char* name, std::vector<int64_t>& values, const IntRange& range, const char* /*doc*/) override {
    const ConfigNode* node = map_.find(name);
    if (node == nullptr) return;
    if (node->kind != Kind::kList) refuse(*node, path_of(name), "a list of whole numbers, like [0, -1] or []");
    values.clear();
    for (size_t i = 0; i < node->list.size(); ++i) {
      values.push_back(whole_number(node->list[i], fmt::format("{}.{}", path_of(name), i), range));
    }
  }

  void section(const char* name, const Fields& fields, const char* /*doc*/) override {
    static const ConfigNode nothing{Kind::kMap, "", "", false, {}, {}};
    const ConfigNode* node = map_.find(name);
    // A section without keys, perhaps because they are commented out, is empty.
    if (node == nullptr || node->kind == Kind::kNull) node = &nothing;
    if (node->kind != Kind::kMap) refuse(*node, path_of(name), "a map of keys to values");
    read(*node, path_of(name), saved_, fields);
  }

  void list(const char* name, const List& list, const char* /*doc*/) override {
    const ConfigNode* node = map_.find(name);
    if (node == nullptr) return;
    const std::vector<ConfigNode> one(1, *node);
    const bool is_one = list.shorthand != nullptr && (node->kind == Kind::kScalar || node->kind == Kind::kMap);
    if (!is_one && node->kind != Kind::kList) {
      refuse(*node, path_of(name), list.shorthand ? "text, or a list" : "a list of maps, each after a \"-\"");
    }
    const std::vector<ConfigNode>& elements = is_one ? one : node->list;
    list.resize(elements.size());
    for (size_t i = 0; i < elements.size(); ++i) {
      read_element(elements[i], is_one ? path_of(name) : fmt::format("{}.{}", path_of(name), i), list, i);
    }
  }

  void preset(const char* name, const Choices& choices, const std::function<void(const std::string&)>& apply,
              const char* /*doc*/) override {
    if (const ConfigNode* node = map_.find(name)) apply(chosen(*node, name, choices));
  }

  void also_called(const char* alias, const char* name, double& value, const RealRange& range) override {
    const ConfigNode* node = map_.find(alias);
    if (node == nullptr) return;
    if (map_.find(name) != nullptr) {
      throw InputError(
          fmt::format("{}: {} and {} are the same setting; remove one", node->where, path_of(alias), name));
    }
    real(alias, value, range, "");
  }

 private:
  Reader(const ConfigNode& map, std::string path, bool saved) : map_(map), path_(std::move(path)), saved_(saved) {}

  std::string path_of(const char* name) const { return path_.empty() ? name : fmt::format("{}.{}", path_, name); }

  [[noreturn]] static void refuse(const ConfigNode& node, const std::string& path, const std::string& expected) {
    throw InputError(fmt::format("{}: {} {}; expected {}", node.where, path, describe(node), expected));
  }

  void require(bool has_default, const char* name, const std::string& expected) const {
    if (has_default) return;
    const std::string place = map_.where.empty() ? "" : map_.where + ": ";
    throw InputError(fmt::format("{}{} is missing; expected {}", place, path_of(name), expected));
  }

  static int64_t whole_number(const ConfigNode& node, const std::string& path, const IntRange& range) {
    const bool is_plain = node.kind == Kind::kScalar && !node.quoted;
    const std::optional<int64_t> number = is_plain ? parse_number<int64_t>(node.scalar) : std::nullopt;
    if (number && range.holds(*number)) return *number;
    refuse(node, path, range.str() + (number ? "" : whole_number_hint(node, range)));
  }

  std::string chosen(const ConfigNode& node, const char* name, const Choices& choices) const {
    if (node.kind == Kind::kScalar && contains(choices.names, node.scalar)) return node.scalar;
    std::string why;
    for (const auto& [word, reason] : choices.refused) {
      if (node.kind == Kind::kScalar && node.scalar == word) why = ": " + reason;
    }
    const std::string near = node.kind == Kind::kScalar ? nearest_name(node.scalar, choices.names) : "";
    const std::string hint = near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near);
    throw InputError(fmt::format("{}: {} {}{}; expected {}{}", node.where, path_of(name), describe(node), why,
                                 quoted_list(choices.names), hint));
  }

  void read_element(const ConfigNode& element, const std::string& path, const List& list, size_t i) const {
    const Fields fields = [&](FieldVisitor& visitor) { list.element(visitor, i); };
    if (element.kind == Kind::kMap) return read(element, path, saved_, fields);
    if (list.shorthand == nullptr || element.kind != Kind::kScalar) {
      refuse(element, path, list.shorthand ? "text or a map" : "a map of keys to values");
    }
    ConfigNode map;
    map.kind = Kind::kMap;
    map.where = element.where;
    map.map.push_back({list.shorthand, element});
    read(map, path, saved_, fields);
  }

  void refuse_unknown_keys(const Fields& fields) const {
    NameCollector known;
    fields(known);
    for (const auto& [key, node] : map_.map) {
      if (contains(known.names, key) || contains(known.aliases, key)) continue;
      const std::string section = path_.empty() ? "the config" : path_;
      throw InputError(fmt::format("{}: unknown key \"{}\" in {}{} (keys: {})", node.where, key, section,
                                   suggestion(key, known.names), join(known.names, ", ")));
    }
  }

  const ConfigNode& map_;
  std::string path_;
  bool saved_;
};

}  // namespace

RunConfig read_fields(const ConfigNode& root, bool saved) {
  RunConfig config;
  Reader::read(root, "", saved, [&](FieldVisitor& visitor) { visit_fields(config, visitor); });
  return config;
}

}  // namespace lighthouse
