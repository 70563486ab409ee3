#include "lighthouse/train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "lighthouse/core/bfloat16.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/io/safetensors.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "lighthouse checkpoint";
constexpr int kVersion = 1;
constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "state.json";
constexpr const char* kPartialPrefix = ".partial-";

std::string name_of_step(int64_t step) {
  return fmt::format("step-{:08}", step);
}

/// The step of a folder's name, or -1 if it is not a checkpoint's.
int64_t step_of_name(const std::string& name) {
  if (name.rfind("step-", 0) != 0 || name.size() < 6 || name.size() > 20) return -1;
  if (!std::all_of(name.begin() + 5, name.end(), [](char c) { return c >= '0' && c <= '9'; })) return -1;
  return std::stoll(name.substr(5));
}

std::vector<NamedTensor> model_tensors(const Parameters& weights, const ModelConfig& model) {
  std::vector<NamedTensor> tensors;
  for (auto& [name, tensor] : hugging_face_views(weights, model)) tensors.push_back({name, tensor});
  return tensors;
}

std::vector<NamedTensor> optimizer_tensors(const CheckpointTensors& all, const ModelConfig& model) {
  std::vector<NamedTensor> tensors;
  for (auto& [name, tensor] : hugging_face_views(all.exp_avg, model)) tensors.push_back({"exp_avg." + name, tensor});
  for (auto& [name, tensor] : hugging_face_views(all.exp_avg_sq, model)) {
    tensors.push_back({"exp_avg_sq." + name, tensor});
  }
  return tensors;
}

Json to_json(const CheckpointState& state, const fs::path& folder) {
  Json files;
  for (const char* name : {kModelFile, kOptimizerFile}) {
    if (fs::exists(folder / name)) files[name] = {{"checksum", checksum_of_file(folder / name)}};
  }
  Json loader = Json::object();
  for (const auto& [path, source] : state.loader) loader[path] = {{"tokens", source.tokens}, {"mixed", source.mixed}};
  return {{"step", state.step},
          {"stage", state.stage},
          {"tokens", state.tokens},
          {"seconds", state.seconds},
          {"optimizer_updates", state.optimizer_updates},
          {"skipped_in_a_row", state.skipped_in_a_row},
          {"end_of_stage", state.end_of_stage},
          {"evaluation_pending", state.evaluation_pending},
          {"loader", loader},
          {"random", {{"generator", "philox4x32-10"}, {"seed", state.seed}}},
          {"config", state.config},
          {"environment", state.environment},
          {"files", files}};
}

/// The "state" object of a state.json, its checksum verified.
Json read_state(const fs::path& checkpoint) {
  const fs::path path = checkpoint / kStateFile;
  const std::string text = read_file(path);
  const auto damaged = [&](const std::string& why) {
    return InputError(fmt::format("{} is damaged: {}", path.string(), why));
  };
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) throw damaged("not JSON");
  if (!json.contains("format") || json["format"] != kFormat) throw damaged("not the state of a checkpoint");
  if (!json.contains("version") || json["version"] != kVersion) {
    throw InputError(fmt::format("{} has format version {}; this program reads version {}", path.string(),
                                 json.value("version", Json()).dump(), kVersion));
  }
  if (!json.contains("state") || !json.contains("checksum")) throw damaged("a part is missing");
  if (json["checksum"] != checksum_of(json["state"].dump())) throw damaged("its checksum does not fit");
  return json["state"];
}

void copy_elements(const Tensor& to, const Tensor& from) {
  if (to.dtype() == from.dtype()) {
    std::memcpy(to.raw(), from.raw(), static_cast<size_t>(from.bytes()));
  } else if (to.dtype() == DType::kFloat32) {
    const BFloat16* in = from.data<BFloat16>();
    std::transform(in, in + from.numel(), to.data<float>(), [](BFloat16 x) { return static_cast<float>(x); });
  } else {
    const float* in = from.data<float>();
    std::transform(in, in + from.numel(), to.data<BFloat16>(), to_bfloat16);
  }
}

/// Copies the tensors of these names. Moments may have been saved by a run that kept them in the other type.
void copy_into(const SafetensorsFile& file, const std::vector<NamedTensor>& tensors) {
  for (const NamedTensor& to : tensors) {
    const bool rounded = file.has(to.name) && file.at(to.name).dtype() == DType::kBFloat16;
    copy_elements(to.tensor, file.at(to.name, to.tensor.shape(), rounded ? DType::kBFloat16 : DType::kFloat32));
  }
}

}  // namespace

namespace {

/// Makes the folder `final_path` with what `write` puts into it and state.json.
void publish(const fs::path& final_path, const CheckpointState& state,
             const std::function<void(const fs::path&)>& write) {
  const fs::path directory = final_path.parent_path();
  const fs::path partial = directory / (kPartialPrefix + final_path.filename().string());
  make_directories(directory);
  if (fs::exists(final_path)) {
    throw InputError(fmt::format("{} is there already; nothing is written over", final_path.string()));
  }
  std::error_code ignored;
  fs::remove_all(partial, ignored);
  try {
    make_directories(partial);
    write(partial);
    const Json body = to_json(state, partial);
    const Json json{
        {"format", kFormat}, {"version", kVersion}, {"checksum", checksum_of(body.dump())}, {"state", body}};
    write_file(partial / kStateFile, json.dump(2) + '\n');
    fs::rename(partial, final_path);
    sync_directory(directory);
  } catch (const fs::filesystem_error& error) {
    fs::remove_all(partial, ignored);
    throw InputError(fmt::format("cannot write {}: {}", final_path.string(), error.what()));
  } catch (const std::exception&) {
    fs::remove_all(partial, ignored);
    throw;
  }
}

}  // namespace

fs::path save_checkpoint(const fs::path& directory, const CheckpointState& state, const CheckpointTensors& tensors,
                         const ModelConfig& model) {
  fs::path path = directory / name_of_step(state.step);
  publish(path, state, [&](const fs::path& folder) {
    write_safetensors(folder / kModelFile, model_tensors(tensors.weights, model), {{"format", "pt"}});
    write_safetensors(folder / kOptimizerFile, optimizer_tensors(tensors, model));
  });
  return path;
}

void save_weights_checkpoint(const fs::path& checkpoint, const CheckpointState& state,
                             const std::function<void(const fs::path& folder)>& write) {
  publish(fs::absolute(checkpoint), state, write);
}

std::vector<CheckpointEntry> list_checkpoints(const fs::path& directory) {
  std::vector<CheckpointEntry> entries;
  if (!fs::is_directory(directory)) return entries;
  for (const auto& entry : fs::directory_iterator(directory)) {
    const int64_t step = step_of_name(entry.path().filename().string());
    if (step >= 0 && entry.is_directory()) entries.push_back({step, entry.path()});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.step < b.step; });
  return entries;
}

fs::path find_checkpoint(const fs::path& given) {
  // Without a slash at its end, so that its parent is the folder of checkpoints.
  fs::path path = given.has_filename() ? given : given.parent_path();
  if (fs::exists(path / kStateFile)) return path;
  for (const fs::path& folder : {path / "checkpoints", path}) {
    const auto entries = list_checkpoints(folder);
    if (!entries.empty()) return entries.back().path;
  }
  throw InputError(
      fmt::format("{} is no checkpoint and holds none; expected a folder such as "
                  "runs/NAME/checkpoints/step-00001000, or runs/NAME for its newest",
                  path.string()));
}

CheckpointState load_state(const fs::path& checkpoint) {
  const Json json = read_state(checkpoint);
  try {
    CheckpointState state;
    state.step = json.at("step");
    state.tokens = json.at("tokens");
    state.seconds = json.at("seconds");
    state.optimizer_updates = json.at("optimizer_updates");
    state.skipped_in_a_row = json.at("skipped_in_a_row");
    state.end_of_stage = json.at("end_of_stage");
    state.evaluation_pending = json.at("evaluation_pending");
    state.stage = json.at("stage");
    for (const auto& [path, source] : json.at("loader").items()) {
      state.loader[path] = {source.at("tokens"), source.at("mixed")};
    }
    state.seed = json.at("random").at("seed");
    state.config = json.at("config");
    state.environment = json.at("environment");
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw InputError(fmt::format("{} is damaged: {}", (checkpoint / kStateFile).string(), error.what()));
  }
}

void verify_checkpoint(const fs::path& checkpoint) {
  const Json state = read_state(checkpoint);
  for (const auto& [name, file] : state.at("files").items()) {  // of weights alone there is one
    const fs::path path = checkpoint / name;
    if (!fs::exists(path)) throw InputError(fmt::format("{} is missing", path.string()));
    if (checksum_of_file(path) != file.at("checksum")) {
      throw InputError(fmt::format("{} is damaged: its checksum does not fit", path.string()));
    }
  }
}

SafetensorsFile open_weights(const fs::path& checkpoint) {
  return SafetensorsFile(checkpoint / kModelFile);
}

void load_weights(const fs::path& checkpoint, const Parameters& weights, const ModelConfig& model) {
  copy_into(open_weights(checkpoint), model_tensors(weights, model));
}

void load_tensors(const fs::path& checkpoint, const CheckpointTensors& tensors, const ModelConfig& model) {
  if (!fs::exists(checkpoint / kOptimizerFile)) {
    throw InputError(fmt::format("{} holds weights alone, no state of an optimizer; run.init_from starts from them",
                                 checkpoint.string()));
  }
  load_weights(checkpoint, tensors.weights, model);
  copy_into(SafetensorsFile(checkpoint / kOptimizerFile), optimizer_tensors(tensors, model));
}

void prune_checkpoints(const fs::path& directory, int64_t keep) {
  std::vector<CheckpointEntry> passing;  // those that a stage did not end with
  for (const CheckpointEntry& entry : list_checkpoints(directory)) {
    try {
      if (load_state(entry.path).end_of_stage) continue;
    } catch (const InputError&) {
      continue;  // a damaged one is for the user to look at
    }
    passing.push_back(entry);
  }
  const auto surplus = static_cast<int64_t>(passing.size()) - keep;
  for (int64_t i = 0; i < surplus; ++i) {
    // Renamed first, so that a half-removed checkpoint is never taken for a whole one.
    const fs::path doomed = directory / (kPartialPrefix + passing[static_cast<size_t>(i)].path.filename().string());
    std::error_code ignored;
    fs::rename(passing[static_cast<size_t>(i)].path, doomed, ignored);
    fs::remove_all(doomed, ignored);
  }
}

void remove_partial_checkpoints(const fs::path& directory) {
  if (!fs::is_directory(directory)) return;
  std::vector<fs::path> partial;
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename().string().rfind(kPartialPrefix, 0) == 0) partial.push_back(entry.path());
  }
  for (const fs::path& path : partial) fs::remove_all(path);
}

}  // namespace lighthouse
