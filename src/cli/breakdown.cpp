#include "breakdown.h"

#include <fmt/format.h>

#include "lighthouse/core/text.h"
#include "lighthouse/train/step_cost.h"

namespace lighthouse {

std::string breakdown_of(const std::vector<OperationCost>& costs) {
  double total = 0;
  for (const OperationCost& cost : costs) total += cost.seconds;
  TextTable table({"operation", "calls", "time", "share", "roofline", "time / roofline", "MB", "TFLOP/s", "TB/s"});
  for (const OperationCost& cost : costs) {
    table.add_row({cost.kind, std::to_string(cost.calls), format_milliseconds(cost.seconds),
                   fmt::format("{:.1f}%", 100 * cost.seconds / total), format_milliseconds(cost.roofline_seconds),
                   fmt::format("{:.2f}", cost.seconds / cost.roofline_seconds),
                   fmt::format("{:.1f}", 1e-6 * cost.bytes),
                   cost.flops > 0 ? fmt::format("{:.0f}", 1e-12 * cost.flops / cost.seconds) : "",
                   fmt::format("{:.2f}", 1e-12 * cost.bytes / cost.seconds)});
  }
  const double roofline = roofline_seconds(costs);
  table.add_row({"all, one after another", "", format_milliseconds(total), "100.0%", format_milliseconds(roofline),
                 fmt::format("{:.2f}", total / roofline), "", "", ""});
  return table.str();
}

}  // namespace lighthouse
