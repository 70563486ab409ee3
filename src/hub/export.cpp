#include "lighthouse/hub/export.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "architecture.h"
#include "lighthouse/config/load.h"
#include "lighthouse/core/copy_elements.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/units.h"
#include "lighthouse/hub/hugging_face_config.h"
#include "lighthouse/hub/tokenizer_files.h"
#include "lighthouse/train/checkpoint.h"
#include "lighthouse/train/model_tokenizer.h"
#include "lighthouse/train/schedule.h"
#include "weight_files.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// A tensor of the checkpoint, and its name, shape and type in the export.
struct Exported {
  TensorSpec spec;
  Tensor tensor;

  int64_t bytes() const { return spec.shape.numel() * size_of(spec.dtype); }
};

std::vector<Exported> tensors_to_export(const SafetensorsFile& weights, const ModelConfig& model,
                                        std::optional<DType> dtype) {
  std::vector<Exported> tensors;
  for (TensorSpec& spec : tensor_specs(model)) {
    const Tensor& tensor = weights.weight_at(spec.name, spec.shape);
    spec.dtype = dtype.value_or(tensor.dtype());
    tensors.push_back({spec, tensor});
  }
  return tensors;
}

/// Distributes the tensors, in order, over files of at most `max_bytes`.
std::vector<std::vector<Exported>> shards_of(const std::vector<Exported>& tensors, int64_t max_bytes) {
  std::vector<std::vector<Exported>> shards(1);
  int64_t bytes = 0;
  for (const Exported& tensor : tensors) {
    if (!shards.back().empty() && bytes + tensor.bytes() > max_bytes) {
      shards.emplace_back();
      bytes = 0;
    }
    bytes += tensor.bytes();
    shards.back().push_back(tensor);
  }
  return shards;
}

void write_tensor(SafetensorsWriter& writer, const Exported& exported) {
  const Tensor& tensor = exported.tensor;
  if (exported.spec.dtype == tensor.dtype()) {
    return writer.write({static_cast<const std::byte*>(tensor.raw()), static_cast<size_t>(tensor.bytes())});
  }
  constexpr int64_t kPiece = kMebibyte;  // elements
  const Tensor all = tensor.view({tensor.numel()});
  std::vector<std::byte> bytes(static_cast<size_t>(std::min(kPiece, all.numel()) * size_of(exported.spec.dtype)));
  for (int64_t begin = 0; begin < all.numel(); begin += kPiece) {
    const Tensor from = all.slice(0, begin, std::min(begin + kPiece, all.numel()));
    const Tensor piece(bytes.data(), from.shape(), exported.spec.dtype);
    copy_elements(piece, from);
    writer.write({bytes.data(), static_cast<size_t>(piece.bytes())});
  }
}

/// Writes the files with weights and, if there are several, their index.
void write_weights(const fs::path& folder, const std::vector<std::vector<Exported>>& shards, int64_t all,
                   const CopyProgress& progress) {
  Json map = Json::object();
  int64_t done = 0;
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string name = shards.size() == 1 ? std::string("model.safetensors")
                                                : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    std::vector<TensorSpec> specs;
    for (const Exported& exported : shards[i]) specs.push_back(exported.spec);
    SafetensorsWriter writer(folder / name, specs, {{"format", "pt"}});
    for (const Exported& exported : shards[i]) {
      write_tensor(writer, exported);
      map[exported.spec.name] = name;
      done += exported.bytes();
      if (progress) progress(done, all);
    }
    writer.commit();
  }
  if (shards.size() == 1) return;
  const Json index{{"metadata", {{"total_size", all}}}, {"weight_map", map}};
  write_file(folder / "model.safetensors.index.json", index.dump(2) + '\n');
}

void check(const ExportOptions& options) {
  if (options.max_shard_bytes < 1) {
    throw InputError(fmt::format("max_shard_bytes is {}; expected at least 1", options.max_shard_bytes));
  }
  NewFolder::check(options.folder);
}

}  // namespace

ExportResult export_hugging_face(const ExportOptions& options, const CopyProgress& progress) {
  check(options);
  const fs::path checkpoint = find_checkpoint(options.checkpoint);
  verify_checkpoint(checkpoint);
  const CheckpointState state = load_state(checkpoint);
  const RunConfig run = config_of(state, checkpoint);
  const StageSection& stage = run.stages[static_cast<size_t>(stage_of_step(run, state.step - 1).stage)];
  HuggingFaceConfig config{run.model, stage.batch.sequence_length};
  config.model.rope_theta = stage.rope_theta;

  const SafetensorsFile weights = open_weights(checkpoint);
  const auto tensors = tensors_to_export(weights, config.model, options.dtype);
  const auto shards = shards_of(tensors, options.max_shard_bytes);
  ExportResult result;
  result.architecture = architecture_for(config.model).name;
  result.files = std::ssize(shards);
  for (const Exported& exported : tensors) result.bytes += exported.bytes();
  const std::string tokenizer = options.tokenizer.empty() ? run.model.tokenizer : options.tokenizer;
  load_tokenizer(state, run.model, options.tokenizer);  // throws if the tokenizer is not the model's
  result.tokens_may_differ = exported_tokens_may_differ(tokenizer);
  NewFolder folder(options.folder);
  const SpecialTokens tokens = export_tokenizer(tokenizer, config.max_position_embeddings, folder.partial());
  write_file(folder.partial() / "config.json", hugging_face_config_json(config, tokens, tensors.front().spec.dtype));
  write_weights(folder.partial(), shards, result.bytes, progress);
  folder.commit();
  return result;
}

}  // namespace lighthouse
