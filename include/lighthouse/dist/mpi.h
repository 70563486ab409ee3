// MPI: where ranks find each other under mpirun, and collectives on host memory.
#pragma once

#include <memory>
#include <string>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/dist/launch.h"
#include "lighthouse/dist/process_group.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Whether this program was built with MPI.
bool mpi_is_built_in();

/// MPI, started and ended. One in a process.
class MpiSession {
 public:
  virtual ~MpiSession() = default;
  /// Rank 0's text.
  virtual std::string broadcast(const std::string& text) = 0;
  /// All ranks are done with it. Left out after an error, as it would wait for ranks that are gone.
  virtual void finish() = 0;
};

/// Throws InputError if the program was built without MPI, or if MPI sees another number of ranks than the launcher: it
/// belongs to another MPI.
std::unique_ptr<MpiSession> start_mpi(const Launch& launch);

/// Collectives by MPI: of the backend's tensors themselves on the CPU, staged through pinned host memory on a GPU. A
/// thread of its own makes them, so that they run beside what the caller computes; join() blocks the host. All must
/// outlive it. The sum over ranks is ours, in the order of ranks: an MPI library's order may vary.
std::unique_ptr<Communicator> make_mpi_communicator(ProcessGroup& group, Backend& backend);

}  // namespace lighthouse
