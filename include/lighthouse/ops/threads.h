// The number of threads of the CPU backend.
#pragma once

namespace lighthouse {

/// Caps OpenMP's threads (OMP_NUM_THREADS) at the number of processors that this process may use: more threads only
/// wait for each other, and each takes scratch memory. Returns the requested number if it was capped, else 0. Call it
/// from the main thread before any parallel work.
int cap_threads();

}  // namespace lighthouse
