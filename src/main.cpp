#include "lighthouse/ops/cpu_kernels.h"

namespace lighthouse {
int run_command_line(int argc, char** argv);
}

int main(int argc, char** argv) {
  lighthouse::use_fast_blas_kernels(argv);
  return lighthouse::run_command_line(argc, argv);
}
