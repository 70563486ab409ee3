// Which processor OpenBLAS takes this one for.
#pragma once

namespace lighthouse {

/// OpenBLAS picks kernels for the processor when it is loaded, and an OpenBLAS older than the processor falls back to
/// kernels for one of 2004, five times slower. If that has happened, sets OPENBLAS_CORETYPE to what the processor's
/// instruction set allows and starts this program again with the same arguments. Returns if there is nothing to mend,
/// or if the user has set OPENBLAS_CORETYPE. Call it first in main(), before any thread.
void use_fast_blas_kernels(char** argv);

}  // namespace lighthouse
