#include "flat.h"

#include <fmt/format.h>

#include <map>

#include "lighthouse/config/load.h"
#include "schema.h"

namespace lighthouse {
namespace {

class Flattener final : public FieldVisitor {
 public:
  std::vector<std::pair<std::string, std::string>> entries;

  void integer(const char* name, int64_t& value, const IntRange&, const char*) override {
    add(name, std::to_string(value));
  }
  void real(const char* name, double& value, const RealRange&, const char*) override { add(name, format_real(value)); }
  void boolean(const char* name, bool& value, const char*) override { add(name, value ? "true" : "false"); }
  void text(const char* name, std::string& value, TextRule, const char*) override {
    add(name, value.empty() ? "\"\"" : value);
  }
  void choice(const char* name, std::string& value, const Choices&, const char*) override { add(name, value); }
  void integers(const char* name, std::vector<int64_t>& values, const IntRange&, const char*) override {
    add(name, fmt::format("[{}]", fmt::join(values, ", ")));
  }
  void section(const char* name, const Fields& fields, const char*) override {
    const std::string outer = prefix_;
    prefix_ += std::string(name) + ".";
    fields(*this);
    prefix_ = outer;
  }
  void list(const char* name, const List& list, const char*) override {
    for (size_t i = 0; i < list.size; ++i) {
      const std::string element = fmt::format("{}.{}", name, i);
      section(
          element.c_str(), [&](FieldVisitor& visitor) { list.element(visitor, i); }, "");
    }
  }

 private:
  void add(const char* name, std::string value) { entries.emplace_back(prefix_ + name, std::move(value)); }

  std::string prefix_;
};

}  // namespace

std::vector<std::pair<std::string, std::string>> flatten(const RunConfig& config) {
  RunConfig copy = config;  // visitors take mutable fields; this one does not write
  Flattener flattener;
  visit_fields(copy, flattener);
  return std::move(flattener.entries);
}

std::vector<ConfigDifference> differences(const RunConfig& before, const RunConfig& after) {
  const auto old_entries = flatten(before);
  const auto new_entries = flatten(after);
  const std::map<std::string, std::string> old_values(old_entries.begin(), old_entries.end());
  const std::map<std::string, std::string> new_values(new_entries.begin(), new_entries.end());

  std::vector<ConfigDifference> found;
  for (const auto& [key, value] : old_entries) {
    const auto other = new_values.find(key);
    if (other == new_values.end()) found.push_back({key, value, "(none)"});
    if (other != new_values.end() && other->second != value) found.push_back({key, value, other->second});
  }
  for (const auto& [key, value] : new_entries) {
    if (!old_values.contains(key)) found.push_back({key, "(none)", value});
  }
  return found;
}

}  // namespace lighthouse
