// How the config's schema is walked: one description of every section (schema.h), many uses: reading, writing,
// comparing, documenting. A use is a FieldVisitor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace lighthouse {

/// Whole numbers from least to most. A field whose value is out of its range unless the file sets it is a field that
/// must be given.
struct IntRange {
  int64_t least = 0;
  int64_t most = std::numeric_limits<int64_t>::max();

  bool holds(int64_t value) const { return value >= least && value <= most; }
  std::string str() const;
};

/// Numbers from least to most; without an end itself if it is open.
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

/// The shortest text that reads back as the same number, and that every YAML parser takes for one: 0.001, 1.0e-08.
std::string format_real(double value);

enum class TextRule { kAny, kNotEmpty };

/// Words that a field may be, and words that people expect to work but do not, with the reason.
struct Choices {
  std::vector<std::string> names;
  std::vector<std::pair<std::string, std::string>> refused = {};
};

class FieldVisitor {
 public:
  using Fields = std::function<void(FieldVisitor&)>;

  /// A list of maps. If `shorthand` is set, a single word may stand for a map of that one key, and one element for a
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
  /// Text that names files or a folder (for a tokenizer: or is a word).
  virtual void path(const char* name, std::string& value, TextRule rule, const char* doc) {
    text(name, value, rule, doc);
  }
  virtual void choice(const char* name, std::string& value, const Choices& choices, const char* doc) = 0;
  virtual void integers(const char* name, std::vector<int64_t>& values, const IntRange& range, const char* doc) = 0;
  virtual void section(const char* name, const Fields& fields, const char* doc) = 0;
  virtual void list(const char* name, const List& list, const char* doc) = 0;

  /// A key that sets many fields at once, which those after it may change. It has no value of its own.
  virtual void preset(const char* /*name*/, const Choices& /*choices*/,
                      const std::function<void(const std::string&)>& /*apply*/, const char* /*doc*/) {}
  /// Another name that the field `name` may be given by.
  virtual void also_called(const char* /*alias*/, const char* /*name*/, double& /*value*/, const RealRange& /*range*/) {
  }
};

}  // namespace lighthouse
