#include "lighthouse/train/compatibility.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include "lighthouse/config/load.h"
#include "lighthouse/core/error.h"
#include "lighthouse/train/schedule.h"

namespace lighthouse {
namespace {

/// 2 for "stages.2.steps"; -1 for keys outside the stages.
int64_t stage_of_key(const std::string& key) {
  if (!key.starts_with("stages.")) return -1;
  int64_t stage = -1;
  std::from_chars(key.data() + 7, key.data() + key.size(), stage);
  return stage;
}

void refuse_differences(const RunConfig& before, const RunConfig& now, const std::string& checkpoint,
                        const std::function<bool(const std::string&)>& may_change, const std::string& advice) {
  std::string refused;
  for (const ConfigDifference& d : differences(before, now)) {
    if (!may_change(d.key)) refused += fmt::format("\n  {}: {} in the checkpoint, {} now", d.key, d.before, d.after);
  }
  if (refused.empty()) return;
  throw InputError(
      fmt::format("the config does not fit {}; these keys differ and must not:{}\n{}", checkpoint, refused, advice));
}

}  // namespace

void check_resumable(const RunConfig& before, const RunConfig& now, int64_t step, const std::string& checkpoint) {
  const int64_t last = std::min(step, before.total_steps() - 1);
  const StagePosition reached = stage_of_step(before, last);
  const auto may_change = [&](const std::string& key) {
    // Sections that apply to all stages are resolved into each stage, whose keys are checked below.
    for (const char* free : {"run.name", "run.directory", "run.device", "run.dtype", "run.deterministic",
                             "run.init_from", "run.branch_from", "memory.", "distributed.", "checkpoint.",
                             "evaluation.", "hardware.", "train.", "batch.", "data."}) {
      if (key.starts_with(free)) return true;
    }
    const int64_t stage = stage_of_key(key);
    if (stage < 0) return false;
    const bool validation = key.find(".data.validation") != std::string::npos;
    const bool recompute = key.ends_with(".recompute");
    const bool longer = key == fmt::format("stages.{}.steps", reached.stage) &&
                        static_cast<size_t>(reached.stage) < now.stages.size() &&
                        now.stages[static_cast<size_t>(reached.stage)].steps > reached.step_in_stage;
    return stage > reached.stage || validation || recompute || longer;
  };
  refuse_differences(
      before, now, checkpoint, may_change,
      "These may change: run.name, run.directory, run.device, run.dtype, run.deterministic, memory.*, "
      "checkpoint.*, evaluation.*, distributed.*, hardware.*, train.*, recompute, validation data, the steps of the "
      "current stage, and later stages. To change more, start another run with run.branch_from.");
}

void check_same_model(const RunConfig& before, const RunConfig& now, const std::string& checkpoint) {
  const auto may_change = [](const std::string& key) {
    return !key.starts_with("model.") || key.starts_with("model.rope_") || key == "model.initializer_range" ||
           key == "model.sliding_window" || key.starts_with("model.full_attention_layers") ||
           key == "model.tokenizer";  // it may have moved
  };
  refuse_differences(before, now, checkpoint, may_change, "Only the model must stay the same.");
}

}  // namespace lighthouse
