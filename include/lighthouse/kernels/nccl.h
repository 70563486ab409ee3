// NCCL: collectives of GPU tensors, between GPUs.
#pragma once

#include <memory>
#include <string>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/dist/process_group.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// Whether this program was built with NCCL.
bool nccl_is_built_in();

/// Collectives on the backend's communication stream. The host waits for none of them; what waits for results is
/// watched for ranks that are gone and for errors of NCCL, and then all of NCCL's work is aborted. Each rank needs a
/// GPU of its own. Both must outlive it. Throws InputError in a build without NCCL.
std::unique_ptr<Communicator> make_nccl_communicator(ProcessGroup& group, Backend& backend);

}  // namespace lighthouse
