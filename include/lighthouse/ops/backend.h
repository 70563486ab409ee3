// A device and all operations on it: the union of the interfaces in this folder. A function that needs one interface
// takes that one.
//
// Rules for all operations:
// - Arguments: outputs first, then scratch where there is one, then inputs, then numbers.
// - Operations allocate nothing: the caller owns outputs and scratch. `..._scratch(...)` returns the bytes of scratch
//   that an operation takes; its contents do not matter before and after.
// - Operations are pure functions of their arguments and deterministic: the same bits on every call, with any
//   number of threads.
// - `dx` is the gradient of the loss with respect to x. Gradients of weights are added to; gradients of activations are
//   overwritten, unless the contract says "adds".
// - Shapes: B batch, N sequence, T = B N tokens, C hidden size, H query heads, G key/value heads (H a multiple of G),
//   D head dimension, F intermediate size, V vocabulary, S gathered length, E pyramid entries.
// - Tensors with heads, [B, N, H, D], may be strided between heads (they are views of a fused qkv), not within one. All
//   other tensors are contiguous.
// - Activations are float32 on the CPU and float32 or bfloat16 on CUDA. Weights have the activations' type, except the
//   master weights, which the optimizer updates. Master weights, gradients of weights, statistics and scores are
//   float32.
// - Arguments that do not fit together are programming errors: std::logic_error with their types and shapes.
// - Threads: one thread at a time calls the operations of a backend. DeviceRuntime states its own
//   rule.
#pragma once

#include <memory>

#include "lighthouse/ops/attention_operations.h"
#include "lighthouse/ops/decode_operations.h"
#include "lighthouse/ops/device_runtime.h"
#include "lighthouse/ops/lighthouse_operations.h"
#include "lighthouse/ops/model_operations.h"
#include "lighthouse/ops/optimizer_operations.h"

namespace lighthouse {

class Backend : public DeviceRuntime,
                public ModelOperations,
                public AttentionOperations,
                public LighthouseOperations,
                public DecodeOperations,
                public OptimizerOperations {};

/// The CPU backend: float32, threads by OpenMP, matrix products by OpenBLAS. Sets OpenBLAS to one thread a call,
/// because the backend splits products itself.
std::unique_ptr<Backend> make_cpu_backend();

}  // namespace lighthouse
