// Visitors of the config's schema. One description of every section (schema.h) serves reading, writing, comparing and
// documenting; each is a FieldVisitor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace lighthouse {

/// Whole numbers from `least` to `most`. A field whose default is out of range is required.
struct IntRange {
  int64_t least = 0;
  int64_t most = std::numeric_limits<int64_t>::max();

  bool holds(int64_t value) const { return value >= least && value <= most; }
  std::string str() const;
};

/// Numbers from `least` to `most`, excluding an end that is open.
struct RealRange {
  double least = 0;
  double most = 0;
  bool least_open = false;
  bool most_open = false;

  bool holds(double value) const {
    return (least_open ? value > least : value >= least) && (most_open ? value < most : value <= most);
  }
  std::string str() const;
};

/// The shortest text that parses to the same number and that every YAML parser reads as a number: 0.001, 1.0e-08.
std::string format_real(double value);

enum class TextRule { kAny, kNotEmpty };

/// The valid words of a field, and words that users expect to be valid but are not, with the reason.
struct Choices {
  std::vector<std::string> names;
  std::vector<std::pair<std::string, std::string>> refused = {};
};

/// Called with each field of a section, in the order of the schema. A visitor may change values.
class FieldVisitor {
 public:
  using Fields = std::function<void(FieldVisitor&)>;

  /// A list of maps. If `shorthand` is set, a single word is read as a map of that one key, and a single element as a
  /// list of one.
  struct List {
    size_t size = 0;
    std::function<void(size_t)> resize;
    std::function<void(FieldVisitor&, size_t)> element;
    const char* shorthand = nullptr;
  };

  virtual ~FieldVisitor() = default;

  virtual void integer(const char* name, int64_t& value, const IntRange& range, const char* doc) = 0;
  virtual void real(const char* name, double& value, const RealRange& range, const char* doc) = 0;
  virtual void boolean(const char* name, bool& value, const char* doc) = 0;
  virtual void text(const char* name, std::string& value, TextRule rule, const char* doc) = 0;
  /// Text that names files or a folder, or, for a tokenizer, a word.
  virtual void path(const char* name, std::string& value, TextRule rule, const char* doc) {
    text(name, value, rule, doc);
  }
  virtual void choice(const char* name, std::string& value, const Choices& choices, const char* doc) = 0;
  virtual void integers(const char* name, std::vector<int64_t>& values, const IntRange& range, const char* doc) = 0;
  virtual void section(const char* name, const Fields& fields, const char* doc) = 0;
  virtual void list(const char* name, const List& list, const char* doc) = 0;

  /// A key that sets many fields at once; keys after it may change them. The key has no value of its own.
  virtual void preset(const char* /*name*/, const Choices& /*choices*/,
                      const std::function<void(const std::string&)>& /*apply*/, const char* /*doc*/) {}
  /// Declares an alias of the field `name`.
  virtual void also_called(const char* /*alias*/, const char* /*name*/, double& /*value*/, const RealRange& /*range*/) {
  }
};

}  // namespace lighthouse
