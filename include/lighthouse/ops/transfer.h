// Tensors between host and device, for those who look at numbers. Each call waits for the copy.
#pragma once

#include <vector>

#include "lighthouse/ops/backend.h"

namespace lighthouse {

/// out = host, contiguous and of the same type, in the order of the compute stream.
void upload(Backend& backend, const Tensor& out, const Tensor& host);

/// out = host, rounded to the type of `out`; host is float32.
void upload_rounded(Backend& backend, const Tensor& out, const Tensor& host);

/// A copy of `tensor` (contiguous, on the device) in host memory: T is float for float32 and bfloat16 tensors, else the
/// tensor's own type. Waits for what the compute stream was given before.
template <typename T>
std::vector<T> download(Backend& backend, const Tensor& tensor);

}  // namespace lighthouse
