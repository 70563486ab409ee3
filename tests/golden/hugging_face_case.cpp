#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>

#include "golden_case.h"
#include "lighthouse/config/load.h"
#include "lighthouse/eval/generator.h"
#include "lighthouse/hub/export.h"
#include "lighthouse/model/llama.h"
#include "lighthouse/ops/transfer.h"
#include "lighthouse/train/checkpoint.h"

namespace lighthouse::golden {
namespace {

namespace fs = std::filesystem;

constexpr double kLimit = 1e-4;
constexpr double kLimitInBFloat16 = 0.25;

/// A temporary folder.
struct Scratch {
  Scratch() : path(fs::temp_directory_path() / fmt::format("lighthouse-golden-{}", getpid())) {}
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  fs::path path;
};

/// A checkpoint's model on the device, bound to one sequence length.
class LoadedModel {
 public:
  LoadedModel(const fs::path& checkpoint, int64_t length, Backend& backend)
      : config_(parse_config(load_state(checkpoint).config, checkpoint.string()).model),
        backend_(backend),
        length_(length) {
    PassSettings settings;
    settings.sequence_length = length;
    settings.rope_theta = config_.rope_theta;
    settings.backward = false;
    model_ = std::make_unique<Llama>(config_, settings, backend);
    Arena measuring;
    lay_out(measuring);
    arena_ = Arena(backend.allocate(measuring.used()));
    lay_out(arena_);
    Arena host_measuring;
    lay_out_parameters(host_measuring, MemoryUse::kWeights, config_);
    Arena host(host_measuring.used());
    const Parameters loaded = lay_out_parameters(host, MemoryUse::kWeights, config_);
    load_weights(checkpoint, loaded, config_);
    upload(backend, master_.flat, loaded.flat);
    backend.copy(backend.compute_stream(), weights_.flat, master_.flat);
    model_->prepare(backend.compute_stream());
  }

  /// The logits [N, V'], float32, after each token.
  std::vector<float> logits(const Tensor& tokens) {
    upload(backend_, tokens_, tokens);
    model_->forward(backend_.compute_stream(), weights_, tokens_);
    model_->logits(backend_.compute_stream(), logits_, weights_, 0);
    backend_.copy(backend_.compute_stream(), wide_logits_, logits_);
    return download<float>(backend_, wide_logits_);
  }

  std::vector<int32_t> greedy(const Tensor& prompt, int64_t count) {
    SamplingOptions options;
    options.max_tokens = count;
    options.temperature = 0;
    std::vector<int32_t> generated;
    const int32_t* first = prompt.data<int32_t>();
    generate(config_, weights_, backend_, {first, first + prompt.numel()}, prompt.numel() + count, -1, options,
             [&](int32_t token) { generated.push_back(token); });
    return generated;
  }

  const ModelConfig& config() const { return config_; }

 private:
  void lay_out(Arena& arena) {
    const int64_t n = length_;
    master_ = lay_out_parameters(arena, MemoryUse::kWeights, config_);
    weights_ = lay_out_parameters(arena, MemoryUse::kWeights, config_, backend_.dtype());
    tokens_ = arena.allocate(MemoryUse::kBatch, {1, n}, DType::kInt32);
    logits_ = arena.allocate(MemoryUse::kScratch, {n, config_.padded_vocab_size()}, backend_.dtype());
    wide_logits_ = arena.allocate(MemoryUse::kScratch, {n, config_.padded_vocab_size()}, DType::kFloat32);
    model_->lay_out(arena);
  }
  ModelConfig config_;
  Backend& backend_;
  int64_t length_;
  std::unique_ptr<Llama> model_;
  Arena arena_;
  Parameters master_, weights_;
  Tensor tokens_, logits_, wide_logits_;
};

/// The largest difference of the logits of existing tokens; `reference` is [1, N, V].
double largest_difference(const std::vector<float>& logits, const Tensor& reference, const ModelConfig& config) {
  const float* expected = reference.data<float>();
  double largest = 0;
  for (int64_t position = 0; position < reference.size(1); ++position) {
    for (int64_t token = 0; token < reference.size(2); ++token) {
      const double ours = logits[static_cast<size_t>(position * config.padded_vocab_size() + token)];
      largest = std::max(largest, std::abs(ours - static_cast<double>(expected[position * reference.size(2) + token])));
    }
  }
  return largest;
}

/// Every tensor of a folder's safetensors by name.
std::map<std::string, std::string> bytes_of(const fs::path& folder) {
  std::map<std::string, std::string> bytes;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file(entry.path());
    for (const auto& [name, tensor] : file.tensors()) {
      bytes[name] = fmt::format("{} {} ", name_of(tensor.dtype()), to_string(tensor.shape())) +
                    std::string(static_cast<const char*>(tensor.raw()), static_cast<size_t>(tensor.bytes()));
    }
  }
  return bytes;
}

/// The number of exported tensors that differ from the imported ones in any bit.
Check compare_tensors(const fs::path& original, const fs::path& exported) {
  const auto before = bytes_of(original);
  const auto after = bytes_of(exported);
  double different = before.size() == after.size() ? 0 : 1;
  for (const auto& [name, bytes] : before) different += after.count(name) == 1 && after.at(name) == bytes ? 0 : 1;
  return {"tensors of import and export (number that differ)", different, 0};
}

/// The number of keys in both config.json files whose values differ after export. transformers releases write different
/// sets of keys.
Check compare_configs(const fs::path& original, const fs::path& exported) {
  const Json before = Json::parse(read_file(original / "config.json"));
  const Json after = Json::parse(read_file(exported / "config.json"));
  double different = 0;
  for (const auto& [key, value] : before.items()) different += after.contains(key) && after.at(key) != value ? 1 : 0;
  for (const char* key : {"model_type", "sliding_window", "layer_types"}) {
    different += before.contains(key) == after.contains(key) ? 0 : 1;
  }
  return {"settings of import and export (number that differ)", different, 0};
}

}  // namespace

std::vector<Check> run_hugging_face_case(const SafetensorsFile& file, const Json& settings, const std::string& path,
                                         Backend& backend) {
  const Scratch scratch;
  std::vector<Check> checks;
  fs::path checkpoint;
  if (settings.contains("hugging_face")) {
    const fs::path folder = fs::path(path).parent_path() / settings.at("hugging_face").get<std::string>();
    checkpoint = scratch.path / "checkpoint";
    import_hugging_face({folder, checkpoint, settings.at("tokenizer"), std::nullopt, std::nullopt});
    const fs::path exported = scratch.path / "exported";
    export_hugging_face({checkpoint, exported, std::nullopt, 50'000, ""});
    checks.push_back(compare_tensors(folder, exported));
    checks.push_back(compare_configs(folder, exported));
  } else {
    checkpoint = settings.at("checkpoint").get<std::string>();
  }
  const Tensor& tokens = file.at("tokens");
  const Tensor& generated = file.at("generated");
  LoadedModel model(checkpoint, tokens.size(1), backend);
  const bool rounded = backend.dtype() == DType::kBFloat16;
  checks.push_back({"logits (largest difference)",
                    largest_difference(model.logits(tokens), file.at("logits"), model.config()),
                    rounded ? kLimitInBFloat16 : kLimit});
  if (rounded) return checks;  // near ties may resolve differently
  const std::vector<int32_t> greedy = model.greedy(tokens, generated.numel());
  const bool same = std::equal(greedy.begin(), greedy.end(), generated.data<int32_t>(),
                               generated.data<int32_t>() + generated.numel());
  checks.push_back({"greedy tokens (1: they differ)", same ? 0.0 : 1.0, 0});
  return checks;
}

}  // namespace lighthouse::golden
