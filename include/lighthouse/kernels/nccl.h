// Collectives of GPU tensors by NCCL.
#pragma once

#include <memory>
#include <string>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/dist/process_group.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Whether this program was built with NCCL.
bool nccl_is_built_in();

/// Collectives on the backend's communication stream, which do not block the host. Waits for results check for ranks
/// that exited and for errors of NCCL, and then abort all work of NCCL. Each rank needs its own GPU. `group` and
/// `backend` must outlive the communicator. Throws InputError in a build without NCCL.
std::unique_ptr<Communicator> make_nccl_communicator(ProcessGroup& group, Backend& backend);

}  // namespace lighthouse
