// Whether a run fits into memory, and what to change if it does not.
#pragma once

#include <cstdint>

#include "lighthouse/config/run_config.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/ops/backend.h"

namespace lighthouse {

// The configs have their document ends (with_document_ends). `mesh` is that of the rank in question.

/// Bytes of device memory that a run with this config takes on the rank.
int64_t planned_bytes(const RunConfig& config, Backend& backend, const Mesh& mesh = {});

/// Bytes that a run may take: hardware.memory, or else what the device has.
int64_t available_bytes(const RunConfig& config, const Backend& backend);

/// The config with each stage's `recompute: auto` replaced by the least recomputation that fits into `available` bytes,
/// or by the most if nothing fits.
RunConfig with_recompute(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh = {});

/// Throws InputError if the run needs more than `available` bytes. The message says by how much, and which settings
/// would fit.
void check_memory(const RunConfig& config, Backend& backend, int64_t available, const Mesh& mesh = {});

}  // namespace lighthouse
