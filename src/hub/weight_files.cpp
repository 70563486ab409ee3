#include "weight_files.h"

#include <fmt/format.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/json.h"
#include "lighthouse/model/parameters.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr const char* kOneFile = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kOutput = "lm_head.weight";

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.bytes())) == 0;
}

/// A buffer computed from rope_theta, which old checkpoints contain.
bool is_derived(const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq");
}

}  // namespace

std::vector<TensorSpec> tensor_specs(const ModelConfig& model) {
  std::vector<TensorSpec> specs;
  for (const HuggingFaceTensor& tensor : hugging_face_tensors(model)) {
    specs.push_back({tensor.name, tensor.shape, DType::kFloat32});
  }
  return specs;
}

WeightFiles::WeightFiles(const fs::path& folder) : folder_(folder) {
  if (fs::exists(folder / kOneFile)) {  // like transformers, ignore the index
    open(kOneFile);
  } else if (fs::exists(folder / kIndex)) {
    open_index(folder / kIndex);
  } else {
    throw InputError(
        fmt::format("{} has neither {} nor {}; to convert weights of another format (pytorch_model.bin, GGUF), "
                    "save them with transformers as safetensors",
                    folder.string(), kOneFile, kIndex));
  }
}

void WeightFiles::open(const std::string& file_name) {
  if (fs::path(file_name).filename() != file_name || file_name.empty()) {
    throw InputError(fmt::format("{}: its weight_map names \"{}\", which is not a file of this folder",
                                 (folder_ / kIndex).string(), file_name));
  }
  auto file = std::make_unique<SafetensorsFile>(folder_ / file_name);
  for (const auto& [name, tensor] : file->tensors()) {
    const auto [other, inserted] = file_of_.emplace(name, file_name);
    if (inserted) continue;
    throw InputError(fmt::format("{} and {} in {} both contain {}", other->second, file_name, folder_.string(), name));
  }
  files_[file_name] = std::move(file);
}

void WeightFiles::open_index(const fs::path& index) {
  const Json json = read_json_file<Json>(index);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    throw InputError(fmt::format("{} is not the index of a sharded model: it has no weight_map", index.string()));
  }
  const Json& map = json["weight_map"];
  for (const auto& [name, file] : map.items()) {
    if (!file.is_string()) throw InputError(fmt::format("{}: the file of {} is not a name", index.string(), name));
    if (files_.count(file) == 0) open(file);
  }
  for (const auto& [name, file] : map.items()) {
    if (files_.at(file)->has(name)) continue;
    throw InputError(
        fmt::format("{} lists {} in {}, which does not contain it", index.string(), name, file.get<std::string>()));
  }
}

std::vector<NamedTensor> WeightFiles::tensors_of(const ModelConfig& model) const {
  const std::vector<TensorSpec> expected = tensor_specs(model);
  std::vector<NamedTensor> tensors;
  std::vector<std::string> missing;
  std::vector<std::string> wrong;
  for (const auto& [name, shape, dtype] : expected) {
    const auto file = file_of_.find(name);
    if (file == file_of_.end()) {
      missing.push_back(name);
      continue;
    }
    const Tensor& tensor = files_.at(file->second)->at(name);
    tensors.push_back({name, tensor});
    if (!(tensor.shape() == shape)) {
      wrong.push_back(fmt::format("{} is {}; expected {}", name, to_string(tensor.shape()), to_string(shape)));
    } else if (!is_weight_type(tensor.dtype())) {
      wrong.push_back(fmt::format("{} is {}; expected float32, bfloat16 or float16", name, name_of(tensor.dtype())));
    }
  }
  if (!missing.empty()) {
    const bool head = missing == std::vector<std::string>{kOutput};
    throw InputError(fmt::format("{} lacks {}{}", folder_.string(), join_some(missing),
                                 head ? "; if the model's output is tied to its embedding, config.json must say so "
                                        "(tie_word_embeddings)"
                                      : ", which its config.json requires"));
  }
  if (!wrong.empty())
    throw InputError(fmt::format("{} does not match its config.json: {}", folder_.string(), join_some(wrong)));
  check_extra(model, expected);
  return tensors;
}

void WeightFiles::check_extra(const ModelConfig& model, const std::vector<TensorSpec>& expected) const {
  std::map<std::string, std::string> rest = file_of_;
  for (const TensorSpec& spec : expected) rest.erase(spec.name);
  if (model.tie_word_embeddings && rest.count(kOutput) != 0) {
    const auto tensor = [&](const char* name) { return files_.at(file_of_.at(name))->at(name); };
    if (!same_bytes(tensor(kOutput), tensor(kEmbedding))) {
      throw InputError(
          fmt::format("{}: config.json ties the output to the embedding (tie_word_embeddings), but {} "
                      "differs from {}",
                      folder_.string(), kOutput, kEmbedding));
    }
    rest.erase(kOutput);
  }
  std::vector<std::string> extra;
  for (const auto& [name, file] : rest) {
    if (!is_derived(name)) extra.push_back(name);
  }
  if (extra.empty()) return;
  throw InputError(fmt::format("{} contains {}, which is not a tensor of its config.json's model", folder_.string(),
                               join_some(extra)));
}

}  // namespace lighthouse
