#include "lighthouse/ops/cost_meter.h"

#include <algorithm>
#include <chrono>

namespace lighthouse {

CostMeter::CostMeter(Backend& backend, Mode mode, const Rates& rates) : backend_(backend), mode_(mode), rates_(rates) {
  if (mode != Mode::kCount) {
    const Stream stream = backend.compute_stream();
    std::vector<double> seconds(100);
    for (double& each : seconds) each = seconds_of(stream, [] {});
    const auto middle = seconds.begin() + static_cast<int64_t>(seconds.size() / 2);
    std::nth_element(seconds.begin(), middle, seconds.end());
    empty_seconds_ = *middle;
  }
  previous_ = backend.set_observer(this);
}

CostMeter::~CostMeter() {
  backend_.set_observer(previous_);
}

void CostMeter::observe(const Stream& stream, const Operation& operation, const std::function<void()>& run) {
  OperationCost call{operation.kind, operation.work, operation.flops, operation.bytes()};
  if (mode_ == Mode::kTime) call.seconds = std::max(0.0, seconds_of(stream, run) - empty_seconds_);
  if (mode_ == Mode::kTimeRepeated) call.seconds = seconds_of_one(stream, run);
  call.roofline_seconds = roofline_seconds(call, rates_);
  add(call);
}

double CostMeter::seconds_of(const Stream& stream, const std::function<void()>& run) {
  using Clock = std::chrono::steady_clock;
  backend_.wait(stream);
  const Clock::time_point start = Clock::now();
  run();
  backend_.wait(stream);
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double CostMeter::seconds_of_one(const Stream& stream, const std::function<void()>& run) {
  constexpr int kRepeats = 10;
  const auto repeat = [&] {
    for (int i = 0; i < kRepeats; ++i) run();
  };
  run();                                                // libraries choose their algorithms in the first call
  const auto graph = backend_.capture(stream, repeat);  // the backend is not observed during observe()
  const auto measured = [&] { graph ? graph->launch(stream) : repeat(); };
  measured();
  return std::max(0.0, seconds_of(stream, measured) - empty_seconds_) / kRepeats;
}

void CostMeter::add(const OperationCost& call) {
  const auto same_kind = [&](const OperationCost& cost) { return cost.kind == call.kind; };
  const auto cost = std::find_if(costs_.begin(), costs_.end(), same_kind);
  if (cost == costs_.end()) {
    costs_.push_back(call);
    return;
  }
  cost->flops += call.flops;
  cost->bytes += call.bytes;
  cost->calls += call.calls;
  cost->roofline_seconds += call.roofline_seconds;
  cost->seconds += call.seconds;
}

}  // namespace lighthouse
