// MPI: rendezvous under mpirun, and collectives in host memory.
#pragma once

#include <memory>
#include <string>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/dist/launch.h"
#include "lighthouse/dist/process_group.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Whether this program is built with MPI.
bool mpi_is_built_in();

/// MPI between MPI_Init and MPI_Finalize. At most one in a process.
class MpiSession {
 public:
  virtual ~MpiSession() = default;
  /// Returns rank 0's text. All ranks call it, before a communicator is made.
  virtual std::string broadcast(const std::string& text) = 0;
  /// MPI_Finalize, after success. Not called after an error: it would wait for ranks that have exited.
  virtual void finish() = 0;
};

/// Throws InputError if the program is built without MPI, or if MPI reports another number of ranks than `launch`: the
/// launcher belongs to another MPI.
std::unique_ptr<MpiSession> start_mpi(const Launch& launch);

/// The communicator of all ranks, by MPI. On the CPU collectives work on the backend's tensors, on a GPU on copies in
/// pinned host memory. They run in a thread, beside the caller's work; join() blocks the host. Sums are computed here,
/// in the order of ranks, as the order within an MPI library may vary. `group` and `backend` must outlive it and all
/// communicators split from it. Throws InputError if the program is built without MPI.
std::unique_ptr<Communicator> make_mpi_communicator(ProcessGroup& group, Backend& backend);

}  // namespace lighthouse
