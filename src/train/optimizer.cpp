#include "lighthouse/train/optimizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "lighthouse/core/error.h"
#include "lighthouse/ops/transfer.h"
#include "lighthouse/train/adamw.h"

namespace lighthouse {
namespace {

/// A state tensor's name and the stretches of the flat vector whose parameters have it, in order.
struct StateCoverage {
  std::string name;
  std::vector<IndexRange> stretches;
};

void add(std::vector<StateCoverage>& all, const std::string& name, const ParameterSpec& spec) {
  auto coverage = std::find_if(all.begin(), all.end(), [&](const StateCoverage& c) { return c.name == name; });
  if (coverage == all.end()) coverage = all.insert(all.end(), {name, {}});
  std::vector<IndexRange>& stretches = coverage->stretches;
  if (!stretches.empty() && stretches.back().end == spec.begin) {
    stretches.back().end = spec.end;
  } else {
    stretches.push_back({spec.begin, spec.end});
  }
}

std::vector<StateCoverage> coverage_of(const Optimizer& optimizer, const ModelConfig& model) {
  std::vector<ParameterSpec> specs = parameter_specs(model);
  std::sort(specs.begin(), specs.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  std::vector<StateCoverage> all;
  for (const ParameterSpec& spec : specs) {
    for (const std::string& name : optimizer.state_of(spec).tensors) add(all, name, spec);
  }
  return all;
}

}  // namespace

void Optimizer::lay_out(Arena& arena, const ModelConfig& model, const OptimizerShard& shard) {
  state_ = lay_out_state(arena, model, shard);
  step_scalars_ = arena.allocate(MemoryUse::kOptimizer, {kStepScalars}, DType::kFloat64);
  lay_out_scratch(arena);
}

std::vector<StateTensor> Optimizer::lay_out_state(Arena& arena, const ModelConfig& model,
                                                  const OptimizerShard& shard) const {
  std::vector<StateTensor> tensors;
  for (const StateCoverage& coverage : coverage_of(*this, model)) {
    const OptimizerShard held = packed_within(shard, coverage.stretches);
    const Tensor elements = arena.allocate(MemoryUse::kOptimizer, {held.numel}, settings_.state_dtype);
    tensors.push_back({coverage.name, elements, held});
  }
  return tensors;
}

const StateTensor& Optimizer::state(std::string_view name) const {
  for (const StateTensor& tensor : state_) {
    if (tensor.name == name) return tensor;
  }
  throw std::logic_error(fmt::format("the optimizer has no state tensor {}", name));
}

int64_t Optimizer::state_bytes(const ModelConfig& model) const {
  int64_t bytes = 0;
  for (const ParameterSpec& spec : parameter_specs(model)) {
    int64_t elements = 0;  // without padding
    for (const HuggingFaceTensor& tensor : spec.tensors) elements += tensor.shape.numel();
    bytes += elements * size_of(settings_.state_dtype) * std::ssize(state_of(spec).tensors);
  }
  return bytes;
}

int64_t Optimizer::updates() const {
  return static_cast<int64_t>(download<double>(backend_, step_scalars_).at(kUpdates));
}

void Optimizer::set_updates(int64_t updates) {
  std::vector<double> scalars(kStepScalars, 0.0);
  scalars[kUpdates] = static_cast<double>(updates);
  upload(backend_, step_scalars_, {scalars.data(), {kStepScalars}, DType::kFloat64});
}

std::unique_ptr<Optimizer> make_optimizer(const OptimizerSection& settings, Backend& backend) {
  if (settings.name == "adamw") return std::make_unique<AdamW>(settings, backend);
  throw std::logic_error(fmt::format("optimizer.name={} passed the checks of the config", settings.name));
}

void check_shards_by_element(const Optimizer& optimizer, const ModelConfig& model) {
  for (const ParameterSpec& spec : parameter_specs(model)) {
    if (optimizer.state_of(spec).unit == ShardUnit::kElement) continue;
    throw InputError(
        fmt::format("distributed.shard_optimizer divides the optimizer's state by element, and this optimizer needs "
                    "whole matrices, for example {}; set distributed.shard_optimizer=false",
                    spec.tensors.front().name));
  }
}

}  // namespace lighthouse
