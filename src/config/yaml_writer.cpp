// Writing of a config as YAML.
#include <yaml-cpp/yaml.h>

#include <string>

#include "lighthouse/config/load.h"
#include "schema.h"

namespace lighthouse {
namespace {

class YamlWriter final : public FieldVisitor {
 public:
  explicit YamlWriter(YAML::Emitter& out) : out_(out) {}

  void integer(const char* name, int64_t& value, const IntRange&, const char*) override { key(name) << value; }
  void real(const char* name, double& value, const RealRange&, const char*) override {
    key(name) << format_real(value);
  }
  void boolean(const char* name, bool& value, const char*) override { key(name) << (value ? "true" : "false"); }
  void text(const char* name, std::string& value, TextRule, const char*) override { key(name) << value; }
  void choice(const char* name, std::string& value, const Choices&, const char*) override { key(name) << value; }
  void integers(const char* name, std::vector<int64_t>& values, const IntRange&, const char*) override {
    key(name) << YAML::Flow << values;
  }
  void section(const char* name, const Fields& fields, const char*) override {
    key(name) << YAML::BeginMap;
    fields(*this);
    out_ << YAML::EndMap;
  }
  void list(const char* name, const List& list, const char*) override {
    key(name);
    if (list.size == 0) out_ << YAML::Flow;
    out_ << YAML::BeginSeq;
    for (size_t i = 0; i < list.size; ++i) {
      out_ << YAML::BeginMap;
      list.element(*this, i);
      out_ << YAML::EndMap;
    }
    out_ << YAML::EndSeq;
  }

 private:
  YAML::Emitter& key(const char* name) { return out_ << YAML::Key << name << YAML::Value; }

  YAML::Emitter& out_;
};

}  // namespace

std::string to_yaml(const RunConfig& config) {
  RunConfig copy = config;  // visitors take mutable fields; this one does not write
  YAML::Emitter out;
  YamlWriter writer(out);
  out << YAML::BeginMap;
  visit_fields(copy, writer);
  out << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

}  // namespace lighthouse
