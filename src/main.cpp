#include "lighthouse/cli/command_line.h"
#include "lighthouse/ops/blas_core.h"

int main(int argc, char** argv) {
  lighthouse::use_fast_blas_kernels(argv);
  return lighthouse::run_command_line(argc, argv);
}
