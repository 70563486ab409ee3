#include "lighthouse/ops/threads.h"

#include <omp.h>

namespace lighthouse {

int cap_threads() {
  const int asked = omp_get_max_threads();
  if (asked <= omp_get_num_procs()) return 0;
  omp_set_num_threads(omp_get_num_procs());
  return asked;
}

}  // namespace lighthouse
