#include "lighthouse/train/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "checkpoint_tensors.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/core/copy_elements.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/data/json.h"
#include "lighthouse/dist/ranks.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "lighthouse checkpoint";
constexpr int kVersion = 1;         // one file of optimizer state
constexpr int kVersionSharded = 2;  // a file of optimizer state for each rank
constexpr const char* kModelFile = "model.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "state.json";
constexpr const char* kPartialPrefix = ".partial-";

std::string name_of_step(int64_t step) {
  return fmt::format("step-{:08}", step);
}

/// The step in a checkpoint folder's name; -1 for other names.
int64_t step_of_name(const std::string& name) {
  if (name.rfind("step-", 0) != 0 || name.size() < 6 || name.size() > 20) return -1;
  if (!std::all_of(name.begin() + 5, name.end(), [](char c) { return c >= '0' && c <= '9'; })) return -1;
  return std::stoll(name.substr(5));
}

std::string optimizer_file(const ProcessGroup& group) {
  if (group.size() == 1) return kOptimizerFile;
  return fmt::format("optimizer-{:05}-of-{:05}.safetensors", group.rank() + 1, group.size());
}

Json json_of(const std::map<std::string, DataFingerprint>& data) {
  Json json = Json::object();
  for (const auto& [pattern, fingerprint] : data) {
    Json shards = Json::array();
    for (const ShardFingerprint& shard : fingerprint) {
      shards.push_back({{"path", shard.path}, {"bytes", shard.bytes}, {"checksum", shard.checksum}});
    }
    json[pattern] = std::move(shards);
  }
  return json;
}

std::map<std::string, DataFingerprint> data_of(const Json& json) {
  std::map<std::string, DataFingerprint> data;
  for (const auto& [pattern, shards] : json.items()) {
    for (const Json& shard : shards) {
      data[pattern].push_back({shard.at("path"), shard.at("bytes"), shard.at("checksum")});
    }
  }
  return data;
}

/// `files`: by name, an object with the file's checksum.
Json state_json(const CheckpointState& state, const Json& files) {
  Json loader = Json::object();
  for (const auto& [path, source] : state.loader) loader[path] = {{"tokens", source.tokens}, {"mixed", source.mixed}};
  Json json{{"step", state.step},
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
  if (!state.tokenizer.empty()) json["tokenizer"] = state.tokenizer;
  if (!state.data.empty()) json["data"] = json_of(state.data);
  return json;
}

/// The "state" object of a state.json. Throws InputError if its checksum or its form is wrong.
Json read_state(const fs::path& checkpoint) {
  const fs::path path = checkpoint / kStateFile;
  const auto damaged = [&](const std::string& why) {
    return InputError(fmt::format("{} is damaged: {}", path.string(), why));
  };
  const Json json = read_json_file<Json>(path);
  if (json.is_discarded() || !json.is_object()) throw damaged("it is not JSON");
  if (!json.contains("format") || json["format"] != kFormat) throw damaged("it is not the state of a checkpoint");
  if (!json.contains("version") || (json["version"] != kVersion && json["version"] != kVersionSharded)) {
    throw InputError(fmt::format("{} has format version {}; this program reads versions {} and {}", path.string(),
                                 json.value("version", Json()).dump(), kVersion, kVersionSharded));
  }
  if (!json.contains("state") || !json.contains("checksum")) throw damaged("its state or its checksum is missing");
  if (json["checksum"] != checksum_of(json["state"].dump())) throw damaged("its checksum is wrong");
  return json["state"];
}

/// Names and checksums of a checkpoint's files. Throws InputError if the list is damaged.
std::vector<std::pair<std::string, std::string>> files_of(const fs::path& checkpoint, const Json& state) {
  std::vector<std::pair<std::string, std::string>> files;
  try {
    for (const auto& [name, file] : state.at("files").items()) files.emplace_back(name, file.at("checksum"));
  } catch (const nlohmann::json::exception& error) {
    throw InputError(fmt::format("{} is damaged: {}", (checkpoint / kStateFile).string(), error.what()));
  }
  return files;
}

/// Writes this rank's files and returns their names and checksums as JSON.
std::string write_files(const fs::path& folder, const Parameters& weights,
                        const std::vector<StateTensor>& optimizer_state, const ModelConfig& model,
                        const ProcessGroup& group) {
  Json files = Json::object();
  const auto write = [&](const std::string& name, const std::vector<NamedTensor>& tensors,
                         const std::map<std::string, std::string>& metadata) {
    write_safetensors(folder / name, tensors, metadata);
    files[name] = {{"checksum", checksum_of_file(folder / name)}};
  };
  if (group.is_rank0()) write(kModelFile, weight_tensors(weights, model), {{"format", "pt"}});
  write(optimizer_file(group), optimizer_tensors(optimizer_state, model), {});
  return files.dump();
}

void begin_folder(const fs::path& partial, const fs::path& final_path) {
  make_directories(partial.parent_path());
  if (fs::exists(final_path)) {
    throw InputError(fmt::format("{} exists already and is not overwritten", final_path.string()));
  }
  std::error_code ignored;
  fs::remove_all(partial, ignored);
  make_directories(partial);
}

void write_state(const fs::path& folder, const CheckpointState& state, const std::vector<std::string>& lists) {
  Json files = Json::object();
  for (const std::string& list : lists) files.update(Json::parse(list));
  const Json body = state_json(state, files);
  const Json json{{"format", kFormat},
                  {"version", lists.size() == 1 ? kVersion : kVersionSharded},
                  {"checksum", checksum_of(body.dump())},
                  {"state", body}};
  write_file(folder / kStateFile, json.dump(2) + '\n');
}

void finish_folder(const fs::path& partial, const fs::path& final_path, const CheckpointState& state,
                   const std::vector<std::string>& lists) {
  write_state(partial, state, lists);
  fs::rename(partial, final_path);
  sync_directory(final_path.parent_path());
}

}  // namespace

fs::path save_checkpoint(const fs::path& directory, const CheckpointState& state, const Parameters& weights,
                         const std::vector<StateTensor>& optimizer_state, const ModelConfig& model,
                         ProcessGroup& group) {
  fs::path final_path = directory / name_of_step(state.step);
  const fs::path partial = directory / (kPartialPrefix + name_of_step(state.step));
  const auto on_rank0 = [&](const std::string& what, const std::function<void()>& work) {
    const auto part = [&] {
      if (group.is_rank0()) work();
      return std::string();
    };
    on_all_ranks(group, what, part, Channel::kCheckpoint);
  };
  on_rank0("the folder of a checkpoint", [&] { begin_folder(partial, final_path); });
  try {
    const auto write = [&] { return write_files(partial, weights, optimizer_state, model, group); };
    const std::vector<std::string> lists =
        on_all_ranks(group, "the files of a checkpoint", write, Channel::kCheckpoint);
    on_rank0("the end of a checkpoint", [&] { finish_folder(partial, final_path, state, lists); });
  } catch (const std::exception& error) {
    std::error_code ignored;
    if (group.is_rank0()) fs::remove_all(partial, ignored);
    if (dynamic_cast<const fs::filesystem_error*>(&error) == nullptr) throw;
    throw InputError(fmt::format("cannot write {}: {}", final_path.string(), error.what()));
  }
  return final_path;
}

void save_weights_checkpoint(const fs::path& checkpoint, const CheckpointState& state,
                             const std::function<void(const fs::path& folder)>& write) {
  NewFolder folder(checkpoint);
  write(folder.partial());
  const Json files{{kModelFile, {{"checksum", checksum_of_file(folder.partial() / kModelFile)}}}};
  write_state(folder.partial(), state, {files.dump()});
  folder.commit();
}

int64_t checkpoint_bytes(const Optimizer& optimizer, const ModelConfig& model) {
  return size_of(DType::kFloat32) * parameter_count(model) + optimizer.state_bytes(model);
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
  // Without a trailing slash, so that the parent is the folder of checkpoints.
  fs::path path = given.has_filename() ? given : given.parent_path();
  if (fs::exists(path / kStateFile)) return path;
  for (const fs::path& folder : {path / "checkpoints", path}) {
    const auto entries = list_checkpoints(folder);
    if (!entries.empty()) return entries.back().path;
  }
  if (fs::exists(path / "config.json")) {
    throw InputError(fmt::format("{0} is a Hugging Face folder; `lighthouse import {0} OUT` makes a checkpoint of it",
                                 path.string()));
  }
  throw InputError(
      fmt::format("{} is not a checkpoint and contains none; expected a folder such as "
                  "runs/NAME/checkpoints/step-00001000, or runs/NAME for its newest checkpoint",
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
    if (json.contains("data")) state.data = data_of(json.at("data"));
    state.seed = json.at("random").at("seed");
    state.config = json.at("config");
    state.tokenizer = json.value("tokenizer", "");
    state.environment = json.at("environment");
    return state;
  } catch (const nlohmann::json::exception& error) {
    throw InputError(fmt::format("{} is damaged: {}", (checkpoint / kStateFile).string(), error.what()));
  }
}

int ranks_of_newest(const fs::path& directory) {
  auto entries = list_checkpoints(directory);
  for (; !entries.empty(); entries.pop_back()) {
    const fs::path& checkpoint = entries.back().path;
    try {
      const auto files = files_of(checkpoint, read_state(checkpoint));
      return static_cast<int>(std::ssize(files)) - 1;  // one for each rank's optimizer state, one for the weights
    } catch (const InputError&) {
      continue;
    }
  }
  return 1;
}

void verify_checkpoint(const fs::path& checkpoint, int part, int parts) {
  int index = 0;
  for (const auto& [name, checksum] : files_of(checkpoint, read_state(checkpoint))) {
    if (index++ % parts != part) continue;
    const fs::path path = checkpoint / name;
    if (!fs::exists(path)) throw InputError(fmt::format("{} is missing", path.string()));
    if (checksum_of_file(path) != checksum) {
      throw InputError(fmt::format("{} is damaged: its checksum is wrong", path.string()));
    }
  }
}

SafetensorsFile open_weights(const fs::path& checkpoint) {
  return SafetensorsFile(checkpoint / kModelFile);
}

void load_weights(const fs::path& checkpoint, const Parameters& weights, const ModelConfig& model) {
  const SafetensorsFile file = open_weights(checkpoint);
  for (const NamedTensor& to : weight_tensors(weights, model)) {
    copy_elements(to.tensor, file.weight_at(to.name, to.tensor.shape()));
  }
}

void load_optimizer_state(const fs::path& checkpoint, const std::vector<StateTensor>& tensors,
                          const ModelConfig& model) {
  std::vector<fs::path> files;
  for (const auto& [name, checksum] : files_of(checkpoint, read_state(checkpoint))) {
    if (name != kModelFile) files.push_back(checkpoint / name);
  }
  if (files.empty()) {
    throw InputError(fmt::format("{} holds weights alone, no optimizer state; start from them with run.init_from",
                                 checkpoint.string()));
  }
  read_optimizer_tensors(files, tensors, model);
}

void prune_checkpoints(const fs::path& directory, int64_t keep) {
  std::vector<CheckpointEntry> removable;
  for (const CheckpointEntry& entry : list_checkpoints(directory)) {
    try {
      if (load_state(entry.path).end_of_stage) continue;
    } catch (const InputError&) {
      continue;  // damaged: the user may want to look at it
    }
    removable.push_back(entry);
  }
  const auto surplus = static_cast<int64_t>(removable.size()) - keep;
  for (int64_t i = 0; i < surplus; ++i) {
    // Rename first: a partly removed checkpoint must never pass for a whole one.
    const fs::path removed = directory / (kPartialPrefix + removable[static_cast<size_t>(i)].path.filename().string());
    std::error_code ignored;
    fs::rename(removable[static_cast<size_t>(i)].path, removed, ignored);
    fs::remove_all(removed, ignored);
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
