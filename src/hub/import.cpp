#include "lighthouse/hub/import.h"

#include <fmt/format.h>

#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/hub/hugging_face_config.h"
#include "lighthouse/hub/tokenizer_files.h"
#include "lighthouse/train/checkpoint.h"
#include "lighthouse/train/model_tokenizer.h"
#include "weight_files.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

/// Sets model.tokenizer and model.unused_tokens. Returns whether the folder's tokenizer files are to be copied.
bool choose_tokenizer(const ImportOptions& options, const fs::path& checkpoint, ModelConfig& model) {
  FoundTokenizer found;
  if (!options.tokenizer.empty()) {
    found.vocab_size = make_tokenizer(options.tokenizer)->vocab_size();
    model.tokenizer = options.tokenizer == "bytes" ? "bytes" : fs::absolute(options.tokenizer).string();
  } else {
    if (!fs::exists(options.folder / "tokenizer.json") && !fs::exists(options.folder / "tokenizer.model")) {
      throw InputError(
          fmt::format("{} has no tokenizer (tokenizer.json or tokenizer.model); name one with --tokenizer: "
                      "bytes, a SentencePiece model or a folder",
                      options.folder.string()));
    }
    found = find_tokenizer(options.folder);
    model.tokenizer = found.bytes ? "bytes" : (checkpoint / kTokenizerFolder).string();
  }
  model.unused_tokens = model.vocab_size - found.vocab_size;
  if (model.unused_tokens >= 0) return options.tokenizer.empty() && !found.bytes;
  throw InputError(
      fmt::format("the tokenizer {} has {} tokens, but the model of {} only {}; use the model's own tokenizer",
                  options.tokenizer.empty() ? options.folder.string() : options.tokenizer,
                  format_count(found.vocab_size), options.folder.string(), format_count(model.vocab_size)));
}

/// The config of a run that has not started: one dense stage with the model's full sequence length.
RunConfig run_of(const HuggingFaceConfig& config, const ImportOptions& options) {
  RunConfig run;
  run.run.name = "import";
  run.model = config.model;
  run.batch = {config.max_position_embeddings, 1, 1};
  StageSection stage;
  stage.steps = 1;
  stage.rope_theta = config.model.rope_theta;
  stage.batch = run.batch;
  run.stages = {stage};
  return checked_config(run, fmt::format("the model of {}", options.folder.string()));
}

/// Extracts the `model` section and run.init_from from a complete config. Paths inside the checkpoint become relative
/// to it.
std::string model_yaml(RunConfig run, const fs::path& checkpoint) {
  run.run.init_from = kConfigFolder;
  const std::string inside = (checkpoint / kTokenizerFolder).string();
  if (run.model.tokenizer == inside) run.model.tokenizer = fmt::format("{}/{}", kConfigFolder, kTokenizerFolder);
  const std::string yaml = to_yaml(run);
  const size_t weights = yaml.find("  init_from:");
  const size_t begin = yaml.find("\nmodel:") + 1;
  size_t end = yaml.find('\n', begin);
  while (end + 1 < yaml.size() && yaml[end + 1] == ' ') end = yaml.find('\n', end + 1);
  return fmt::format(
      "# The model of {}. To train it further, start a config with `extends: .../model.yaml`.\n"
      "run:\n{}\n{}\n",
      checkpoint.filename().string(), yaml.substr(weights, yaml.find('\n', weights) - weights),
      yaml.substr(begin, end - begin));
}

/// Copies the tensors unchanged.
void write_weights(const fs::path& path, const std::vector<NamedTensor>& tensors, int64_t all,
                   const CopyProgress& progress) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) specs.push_back({name, tensor.shape(), tensor.dtype()});
  SafetensorsWriter writer(path, specs, {{"format", "pt"}});
  int64_t done = 0;
  for (const auto& [name, tensor] : tensors) {
    writer.write({static_cast<const std::byte*>(tensor.raw()), static_cast<size_t>(tensor.bytes())});
    done += tensor.bytes();
    if (progress) progress(done, all);
  }
  writer.commit();
}

}  // namespace

ImportResult import_hugging_face(const ImportOptions& options, const CopyProgress& progress) {
  const fs::path checkpoint = NewFolder::check(options.checkpoint);
  HuggingFaceConfig config = read_hugging_face_config(options.folder);
  ModelConfig& model = config.model;
  if (options.rope_theta) model.rope_theta = *options.rope_theta;
  if (options.rope_scaling) model.rope_scaling = *options.rope_scaling;
  const bool copies_tokenizer = choose_tokenizer(options, checkpoint, model);
  const RunConfig run = run_of(config, options);
  const WeightFiles files(options.folder);
  const std::vector<NamedTensor> tensors = files.tensors_of(model);
  ImportResult result{model, config.max_position_embeddings, 0};
  for (const NamedTensor& tensor : tensors) result.bytes += tensor.tensor.bytes();

  CheckpointState state;
  state.stage = run.stages[0].name;
  state.end_of_stage = true;
  state.seed = run.run.seed;
  state.config = to_yaml(run);
  state.tokenizer = tokenizer_digest(options.tokenizer.empty() ? options.folder.string() : options.tokenizer);
  state.environment = fmt::format("imported from {}", options.folder.string());
  save_weights_checkpoint(checkpoint, state, [&](const fs::path& folder) {
    write_weights(folder / "model.safetensors", tensors, result.bytes, progress);
    write_file(folder / "model.yaml", model_yaml(run, checkpoint));
    if (copies_tokenizer) copy_tokenizer_files(options.folder, folder / kTokenizerFolder);
  });
  return result;
}

}  // namespace lighthouse
