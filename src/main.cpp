#include "lighthouse/cli/command_line.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/ops/blas_core.h"

int main(int argc, char** argv) {
  lighthouse::restore_hang_up();
  lighthouse::use_fast_blas_kernels(argv);
  return lighthouse::run_command_line(argc, argv);
}
