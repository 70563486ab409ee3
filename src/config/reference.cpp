// Every key of a config as Markdown: docs/config.md.
#include <fmt/format.h>

#include <string>

#include "lighthouse/config/load.h"
#include "lighthouse/core/text.h"
#include "schema.h"

namespace lighthouse {
namespace {

constexpr const char* kIntroduction =
    "# Config reference\n\n"
    "Every key of a run's YAML config. `lighthouse config --reference` prints this page from the schema by which the\n"
    "program reads configs.\n\n"
    "- A key without a default is required, or empty.\n"
    "- `extends: other.yaml` merges the file over another one: maps key by key; lists and single values replace.\n"
    "- `--set KEY=VALUE` on the command line changes one value: `--set batch.sequence_length=4096`, or in a list,\n"
    "  counted from 0, `--set stages.0.steps=100`.\n"
    "- YAML's anchors, aliases and merge keys (`<<`) work.\n"
    "- Paths are relative to the working directory. `~`, `~user`, `$NAME` and `${NAME}` are expanded; an unset "
    "variable\n"
    "  or unknown user is an error. `\"{here}/tokenizer\"`, in quotes, is relative to the folder of the config file.\n";

// Constraints between keys.
constexpr const char* kCombinations =
    "\n## Invalid combinations\n\n"
    "The program refuses these before it writes anything, and says what would work:\n\n"
    "| setting | in combination with | reason |\n|---|---|---|\n"
    "| `run.init_from` | `run.branch_from` | one starts a new run, the other continues a whole state |\n"
    "| `run.dtype: bfloat16` | the CPU | the CPU computes in float32 only |\n"
    "| `data.document_mask: attention` | a Lighthouse stage | Lighthouse pools across documents |\n"
    "| `data.document_mask: attention` | a GPU in bfloat16 and `run.deterministic` | the backward pass with a mask has "
    "no deterministic form |\n"
    "| `dense_every` | a dense stage, or a value of 1 | every step would be dense |\n"
    "| `dense_layers`, `window_layers`, `window_every` | all layers of the model | no layer would use Lighthouse |\n"
    "| `window_layers` | a layer that is also in `dense_layers` | a layer has one kind of attention |\n"
    "| `attention: window`, `window_layers`, `window_every` | no `attention.window` | the window needs a width |\n"
    "| a Lighthouse stage | `sliding_window` in all layers that would use Lighthouse | `sliding_window` applies in "
    "every "
    "stage |\n"
    "| `full_attention_layers` | no `sliding_window` | no layer has a window |\n"
    "| `top_k` | a `tile` that does not divide it | selection is by whole tiles |\n"
    "| `sequence_length` of a Lighthouse stage | a `pooling_factor^(levels-1)` that does not divide it, or a coarsest "
    "level that `top_k / tile` does not divide | the pyramid and its tiles must be whole |\n"
    "| `sequence_length` of a Lighthouse stage | a `dilation` that does not divide it, with `scorer: dilated` | the "
    "streams must have equal lengths |\n"
    "| `global_batch_size` | a `micro_batch_size` that does not divide it | |\n"
    "| `num_attention_heads` | `num_key_value_heads` that does not divide it | |\n"
    "| `vocab_size` minus `unused_tokens` | a tokenizer with more tokens | |\n"
    "| `warmup_steps` | fewer steps in all stages | |\n"
    "| `distributed.backend: nccl` | CPUs, or fewer GPUs than ranks | NCCL needs one GPU for each rank |\n"
    "| two stages | the same name | |\n"
    "| a training file | `data.validation` | the validation loss would not measure unseen text |\n"
    "| a training file | a second source of the same stage | its windows would be drawn twice as often |\n";

/// Writes one table for each section, followed by those of the sections inside it.
class ReferenceWriter final : public FieldVisitor {
 public:
  /// `title` is the section's path. In the elements of a list, sections are inherited, so they are shown as a row
  /// without a default.
  ReferenceWriter(std::string title, const char* doc, bool in_list) : title_(std::move(title)), in_list_(in_list) {
    if (title_.empty()) return;
    head_ = fmt::format("\n## {}\n\n", title_);
    if (*doc != '\0') head_ += fmt::format("{}\n\n", doc);
  }

  std::string str() const {
    const char* header = "| key | value | default | meaning |\n|---|---|---|---|\n";
    return (rows_.empty() ? "" : head_ + header + rows_) + below_;
  }

  void integer(const char* name, int64_t& value, const IntRange& range, const char* doc) override {
    row(name, range.str(), range.holds(value) ? std::to_string(value) : "", doc);
  }
  void real(const char* name, double& value, const RealRange& range, const char* doc) override {
    row(name, range.str(), range.holds(value) ? format_real(value) : "", doc);
  }
  void boolean(const char* name, bool& value, const char* doc) override {
    row(name, "true or false", value ? "true" : "false", doc);
  }
  void text(const char* name, std::string& value, TextRule, const char* doc) override { row(name, "text", value, doc); }
  void path(const char* name, std::string& value, TextRule, const char* doc) override {
    row(name, "a path", value, doc);
  }
  void choice(const char* name, std::string& value, const Choices& choices, const char* doc) override {
    row(name, join(choices.names, ", "), value, doc);
  }
  void integers(const char* name, std::vector<int64_t>& values, const IntRange&, const char* doc) override {
    row(name, "a list of whole numbers", fmt::format("[{}]", fmt::join(values, ", ")), doc);
  }
  void preset(const char* name, const Choices& choices, const std::function<void(const std::string&)>&,
              const char* doc) override {
    row(name, join(choices.names, ", "), "", doc);
  }
  void section(const char* name, const Fields& fields, const char* doc) override {
    if (in_list_) return row(name, "a map", "", doc);
    ReferenceWriter inner(path_of(name), doc, false);
    fields(inner);
    below_ += inner.str();
  }
  void list(const char* name, const List& list, const char* doc) override {
    const bool is_section = title_.empty();
    if (!is_section) row(name, "a list", "", doc);
    list.resize(1);
    ReferenceWriter inner(path_of(name) + ".0", is_section ? doc : "One element of the list.", true);
    list.element(inner, 0);
    below_ += inner.str();
  }

 private:
  std::string path_of(const char* name) const { return title_.empty() ? name : title_ + "." + name; }

  void row(const char* name, const std::string& value, const std::string& by_default, const char* doc) {
    rows_ +=
        fmt::format("| `{}` | {} | {} | {} |\n", name, value, by_default.empty() ? "" : "`" + by_default + "`", doc);
  }

  std::string title_;
  bool in_list_;
  std::string head_;
  std::string rows_;
  std::string below_;
};

}  // namespace

std::string config_reference() {
  RunConfig config;
  ReferenceWriter writer("", "", false);
  visit_fields(config, writer);
  return kIntroduction + writer.str() + kCombinations;
}

}  // namespace lighthouse
