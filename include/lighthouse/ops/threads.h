// How many threads the CPU's operators run on.
#pragma once

namespace lighthouse {

/// Caps OpenMP's threads (OMP_NUM_THREADS) at the processors that this process may use: more threads only wait for one
/// another, and each takes scratch memory. Returns the number that was asked for if it was above that, else 0. Call it
/// from the main thread, before any parallel work.
int cap_threads();

}  // namespace lighthouse
