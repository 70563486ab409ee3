// Causal attention: cuDNN in bfloat16, plain kernels in float32. Where cuDNN's deterministic backward would take more
// workspace than is allowed, it runs over the queries in chunks.
#include <algorithm>

#include "attention_cudnn.h"
#include "attention_documents.h"
#include "attention_float32.h"
#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/ops/attention_types.h"
#include "lighthouse/ops/check.h"
#include "lighthouse/ops/cuda_scratch.h"
#include "profile_range.h"
#include "scratch_cutter.h"

namespace lighthouse::cuda {
namespace {

constexpr int kThreads = 256;

void check_shapes(const char* operation, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
                  const Tensor& lse) {
  require(q.rank() == 4 && k.shape() == v.shape() && k.size(0) == q.size(0) && k.size(1) == q.size(1) &&
              k.size(3) == q.size(3) && q.size(2) % k.size(2) == 0 && has_heads(q) && has_heads(k) && has_heads(v) &&
              out.shape() == q.shape() && has_heads(out) && lse.shape() == Shape({q.size(0), q.size(2), q.size(1)}) &&
              contiguous(lse),
          operation, {&q, &k, &v, &out, &lse});
  require_attention_types(operation, q, k, v, out, lse);
}

AttentionProblem forward_problem(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out) {
  AttentionProblem p;
  p.batch = q.size(0);
  p.heads = q.size(2);
  p.kv_heads = k.size(2);
  p.queries = q.size(1);
  p.keys = k.size(1);
  p.head_dim = q.size(3);
  p.q = strides_of(q);
  p.k = strides_of(k);
  p.v = strides_of(v);
  p.out = strides_of(out);
  return p;
}

/// One call of cuDNN's backward, on views of the same queries and of the keys up to the last of them.
struct BackwardCall {
  Tensor dq, dk, dv, dout, out, q, k, v;
  float* lse;  // [B, H, queries]
};

void run_backward(CudnnAttention& cudnn, const Stream& stream, const BackwardCall& call, bool deterministic,
                  const Tensor& workspace) {
  AttentionProblem p = forward_problem(call.q, call.k, call.v, call.out);
  p.backward = true;
  p.deterministic = deterministic;
  p.dout = strides_of(call.dout);
  p.dq = strides_of(call.dq);
  p.dk = strides_of(call.dk);
  p.dv = strides_of(call.dv);
  cudnn.run(stream, p,
            {call.q.raw(), call.k.raw(), call.v.raw(), call.out.raw(), call.lse, call.dout.raw(), call.dq.raw(),
             call.dk.raw(), call.dv.raw()},
            workspace);
}

/// sum [B, N, width] float32 adds part [B, length, width], the first `length` positions of each batch entry.
__global__ void add_part(float* sum, const bfloat16* part, int64_t length, int64_t sum_length, int64_t width) {
  using In = Pack<bfloat16>;
  const int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * In::kSize;
  if (i >= length * width) return;
  const In in = load_pack(part + blockIdx.y * length * width + i);
  float* to = sum + blockIdx.y * sum_length * width + i;
  for (int half = 0; half < 2; ++half) {
    Pack<float> total = load_pack(to + 4 * half);
    for (int j = 0; j < 4; ++j) total.values[j] += to_float(in.values[4 * half + j]);
    store_pack(to + 4 * half, total);
  }
}

/// out [B, N, width] at strides, from sum [B, N, width] contiguous.
__global__ void store_sum(bfloat16* out, const float* sum, int64_t length, int64_t width, int64_t batch_stride,
                          int64_t position_stride) {
  const int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * 4;
  if (i >= length * width) return;
  const Pack<float> in = load_pack(sum + blockIdx.y * length * width + i);
  bfloat16* to = out + blockIdx.y * batch_stride + i / width * position_stride + i % width;
  for (int j = 0; j < 4; ++j) to[j] = from_float<bfloat16>(in.values[j]);
}

unsigned blocks_for(int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

/// The parts of the scratch of a backward in chunks.
struct ChunkScratch {
  Tensor dk_sum, dv_sum;    // float32 [B, N, G, D]
  Tensor dk_part, dv_part;  // bfloat16 [B, N, G, D], of which a chunk fills the front
  Tensor lse_part;          // float32 [B, H, chunk]: cuDNN wants it packed
  Tensor workspace;

  ChunkScratch(const Tensor& scratch, const Shape& keys, const Shape& lse) {
    ScratchCutter cutter(scratch);
    dk_sum = cutter.take(keys, DType::kFloat32);
    dv_sum = cutter.take(keys, DType::kFloat32);
    dk_part = cutter.take(keys, DType::kBFloat16);
    dv_part = cutter.take(keys, DType::kBFloat16);
    lse_part = cutter.take(lse, DType::kFloat32);
    workspace = cutter.rest();
  }
};

Tensor front(const Tensor& part, int64_t length) {
  return {part.raw(), {part.size(0), length, part.size(2), part.size(3)}, part.dtype(), part.device()};
}

void add_chunk(const Stream& stream, const Tensor& sum, const Tensor& part) {
  const int64_t length = part.size(1), width = part.size(2) * part.size(3);
  const dim3 grid(blocks_for(length * width / Pack<bfloat16>::kSize), static_cast<unsigned>(part.size(0)));
  add_part<<<grid, kThreads, 0, native(stream)>>>(sum.data<float>(), data_of<bfloat16>(part), length, sum.size(1),
                                                  width);
  LIGHTHOUSE_LAUNCHED("add_part");
}

void store_gradient(const Stream& stream, const Tensor& out, const Tensor& sum) {
  const int64_t length = sum.size(1), width = sum.size(2) * sum.size(3);
  const dim3 grid(blocks_for(length * width / 4), static_cast<unsigned>(sum.size(0)));
  store_sum<<<grid, kThreads, 0, native(stream)>>>(data_of<bfloat16>(out), sum.data<float>(), length, width,
                                                   out.stride(0), out.stride(1));
  LIGHTHOUSE_LAUNCHED("store_sum");
}

/// Columns [begin, end) of a float32 matrix, packed at the front of `out`.
void copy_columns(const Stream& stream, const Tensor& out, const Tensor& in, int64_t begin, int64_t end) {
  const auto width = static_cast<size_t>(end - begin) * sizeof(float);
  LIGHTHOUSE_CUDA(cudaMemcpy2DAsync(out.data<float>(), width, in.data<float>() + begin,
                                    static_cast<size_t>(in.size(1)) * sizeof(float), width,
                                    static_cast<size_t>(in.size(0)), cudaMemcpyDeviceToDevice, native(stream)));
}

}  // namespace

void CudaBackend::attention_forward(const Stream& stream, const Tensor& out, const Tensor& lse, const Tensor& scratch,
                                    const Tensor& q, const Tensor& k, const Tensor& v, const Documents& documents) {
  const ProfileRange range("attention_forward");
  check_shapes("attention_forward", q, k, v, out, lse);
  if (q.dtype() == DType::kFloat32) return attention_forward_float32(stream, out, lse, q, k, v, documents.starts);
  if (documents.starts.defined()) {
    return attention_forward_documents(*attention_, stream, out, lse, scratch, q, k, v, documents);
  }
  attention_->run(stream, forward_problem(q, k, v, out), {q.raw(), k.raw(), v.raw(), out.raw(), lse.data<float>()},
                  scratch);
}

void CudaBackend::attention_backward(const Stream& stream, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                     const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                                     const Tensor& q, const Tensor& k, const Tensor& v, const Documents& documents) {
  const ProfileRange range("attention_backward");
  check_shapes("attention_backward", q, k, v, out, lse);
  check_shapes("attention_backward", dq, dk, dv, dout, lse);
  require(have_dtype(q.dtype(), dq), "attention_backward", {&q, &dq});
  if (q.dtype() == DType::kFloat32) {
    return attention_backward_float32(stream, dq, dk, dv, scratch, dout, out, lse, q, k, v, documents.starts);
  }
  if (documents.starts.defined()) {
    return attention_backward_documents(*attention_, stream, {dq, dk, dv, dout, out, q, k, v, lse}, scratch, documents);
  }
  const int64_t n = q.size(1);
  const int64_t chunk = options_.deterministic ? cuda_scratch::query_chunk(q.shape(), options_.attention_workspace) : n;
  if (chunk >= n) {
    const BackwardCall call{dq, dk, dv, dout, out, q, k, v, lse.data<float>()};
    return run_backward(*attention_, stream, call, options_.deterministic, scratch);
  }
  const ChunkScratch parts(scratch, k.shape(), {q.size(0), q.size(2), chunk});
  fill(stream, parts.dk_sum, 0);
  fill(stream, parts.dv_sum, 0);
  for (int64_t begin = 0; begin < n; begin += chunk) {
    const int64_t end = std::min(n, begin + chunk);
    const auto queries = [&](const Tensor& x) { return x.slice(1, begin, end); };
    const auto keys = [&](const Tensor& x) { return x.slice(1, 0, end); };
    const Tensor dk_part = front(parts.dk_part, end), dv_part = front(parts.dv_part, end);
    const Tensor lse_part = parts.lse_part.view({q.size(0) * q.size(2), chunk});
    copy_columns(stream, lse_part, lse.view({q.size(0) * q.size(2), n}), begin, end);
    const BackwardCall call{queries(dq), dk_part, dv_part, queries(dout),         queries(out),
                            queries(q),  keys(k), keys(v), lse_part.data<float>()};
    run_backward(*attention_, stream, call, true, parts.workspace);
    add_chunk(stream, parts.dk_sum, dk_part);
    add_chunk(stream, parts.dv_sum, dv_part);
  }
  store_gradient(stream, dk, parts.dk_sum);
  store_gradient(stream, dv, parts.dv_sum);
}

int64_t CudaBackend::attention_forward_scratch(const Shape& q, int64_t kv_heads, bool documents) const {
  return cuda_scratch::attention_forward(options_.dtype, q, kv_heads, documents);
}

int64_t CudaBackend::attention_backward_scratch(const Shape& q, int64_t kv_heads, bool documents) const {
  return cuda_scratch::attention_backward(options_.dtype, q, kv_heads, options_.deterministic,
                                          options_.attention_workspace, documents);
}

}  // namespace lighthouse::cuda
