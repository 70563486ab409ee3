// Synchronous copies of tensors between host and device. Each call waits for its copy.
#pragma once

#include <vector>

#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// out = host, both contiguous and of the same type, enqueued on the compute stream.
void upload(Backend& backend, const Tensor& out, const Tensor& host);

/// out = host, rounded to the type of `out`; host is float32.
void upload_rounded(Backend& backend, const Tensor& out, const Tensor& host);

/// A copy of `tensor` (contiguous, on the device) in host memory, after everything enqueued on the compute stream. T is
/// float for float32 and bfloat16 tensors, else the tensor's own type.
template <typename T>
std::vector<T> download(Backend& backend, const Tensor& tensor);

}  // namespace lighthouse
