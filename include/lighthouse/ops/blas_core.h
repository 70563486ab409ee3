// Makes OpenBLAS use kernels for this processor.
#pragma once

namespace lighthouse {

/// OpenBLAS chooses kernels for the processor when it is loaded. An OpenBLAS that is older than the processor falls
/// back to kernels for a processor of 2004, which are five times slower. In that case this function sets
/// OPENBLAS_CORETYPE to what the instruction set allows and restarts the program with the same arguments. Returns if
/// the kernels are right, or if the user has set OPENBLAS_CORETYPE. Call it first in main(), before any thread starts.
void use_fast_blas_kernels(char** argv);

}  // namespace lighthouse
