#include "breakdown.h"

#include <fmt/format.h>

#include "lighthouse/core/text.h"
#include "lighthouse/train/step_cost.h"

namespace lighthouse {
namespace {

std::string ms(double seconds) {
  return fmt::format("{:.3f} ms", 1e3 * seconds);
}

}  // namespace

std::string breakdown_of(const std::vector<OperationCost>& costs) {
  double total = 0;
  for (const OperationCost& cost : costs) total += cost.seconds;
  TextTable table({"operation", "calls", "time", "share", "floor", "time / floor", "MB", "TFLOP/s", "TB/s"});
  for (const OperationCost& cost : costs) {
    table.add_row({cost.kind, std::to_string(cost.calls), ms(cost.seconds),
                   fmt::format("{:.1f}%", 100 * cost.seconds / total), ms(cost.floor_seconds),
                   fmt::format("{:.2f}", cost.seconds / cost.floor_seconds), fmt::format("{:.1f}", 1e-6 * cost.bytes),
                   cost.flops > 0 ? fmt::format("{:.0f}", 1e-12 * cost.flops / cost.seconds) : "",
                   fmt::format("{:.2f}", 1e-12 * cost.bytes / cost.seconds)});
  }
  const double floor = floor_seconds(costs);
  table.add_row(
      {"all, one after another", "", ms(total), "100.0%", ms(floor), fmt::format("{:.2f}", total / floor), "", "", ""});
  return table.str();
}

}  // namespace lighthouse
