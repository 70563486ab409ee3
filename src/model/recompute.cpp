#include "lighthouse/model/recompute.h"

namespace lighthouse {

std::string_view name_of(Recompute recompute) {
  switch (recompute) {
    case Recompute::kNone:
      return "none";
    case Recompute::kNorms:
      return "norms";
    case Recompute::kMlp:
      return "mlp";
    case Recompute::kBlock:
      return "block";
  }
  return "?";
}

}  // namespace lighthouse
