#include "lighthouse/train/model_tokenizer.h"

#include <fmt/format.h>

#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"

namespace lighthouse {

RunConfig config_of(const CheckpointState& state, const std::filesystem::path& checkpoint) {
  RunConfig config = parse_config(state.config, (checkpoint / "state.json").string());
  const std::filesystem::path inside = std::filesystem::absolute(checkpoint) / kTokenizerFolder;
  if (std::filesystem::is_directory(inside)) config.model.tokenizer = inside.string();
  return config;
}

std::unique_ptr<Tokenizer> load_tokenizer(const CheckpointState& state, const ModelConfig& model,
                                          const std::string& moved) {
  const std::string& name = moved.empty() ? model.tokenizer : moved;
  if (tokenizer_is_missing(name)) {
    throw InputError(fmt::format(
        "the model's tokenizer, {}, does not exist; if it was moved, name its place with --tokenizer", name));
  }
  if (moved.empty() && !state.tokenizer.empty() && state.tokenizer != tokenizer_digest(name)) {
    throw InputError(
        fmt::format("{} is not the tokenizer that the model was trained with: the file has changed since then; name "
                    "the one to use with --tokenizer",
                    name));
  }
  auto tokenizer = make_tokenizer(name);
  if (tokenizer->vocab_size() <= model.token_count()) return tokenizer;
  throw InputError(fmt::format(
      "the tokenizer {} has {} tokens and the model only {}; name the model's own tokenizer with --tokenizer", name,
      format_count(tokenizer->vocab_size()), format_count(model.token_count())));
}

std::optional<int32_t> document_end_of(const RunConfig& config, const StageSection& stage) {
  if (stage.data.document_mask == DocumentMask::kNone) return std::nullopt;
  return make_tokenizer(config.model.tokenizer)->end_of_text();
}

RunConfig with_document_ends(RunConfig config) {
  std::optional<int32_t> end;
  for (StageSection& stage : config.stages) {
    if (stage.data.document_mask == DocumentMask::kNone) continue;
    if (!end) end = document_end_of(config, stage);
    stage.document_end = end;
  }
  return config;
}

}  // namespace lighthouse
