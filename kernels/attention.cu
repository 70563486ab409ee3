// Causal attention: cuDNN in bfloat16, plain kernels in float32. If cuDNN's deterministic backward would take more
// workspace than allowed, it runs in chunks of queries.
#include <algorithm>

#include "attention_cudnn.h"
#include "attention_documents.h"
#include "attention_float32.h"
#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/kernels/cuda_scratch.h"
#include "profile_range.h"
#include "scratch_cutter.h"

namespace lighthouse::cuda {
namespace {

constexpr int kThreads = 256;

/// The mask, without the window if that hides no key.
AttentionMask narrowed(AttentionMask mask, int64_t length) {
  if (mask.window >= length) mask.window = 0;
  return mask;
}

AttentionProblem forward_problem(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out, int64_t window) {
  AttentionProblem p;
  p.window = window;
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
  int64_t window;
};

void run_backward(CudnnAttention& cudnn, const Stream& stream, const BackwardCall& call, bool deterministic,
                  const Tensor& workspace) {
  AttentionProblem p = forward_problem(call.q, call.k, call.v, call.out, call.window);
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

/// Adds part [B, length, width] to sum [B, length, width], float32, whose batch entries are `sum_stride` apart.
__global__ void add_part(float* sum, const bfloat16* part, int64_t length, int64_t sum_stride, int64_t width) {
  using In = Pack<bfloat16>;
  const int64_t i = (int64_t{blockIdx.x} * kThreads + threadIdx.x) * In::kSize;
  if (i >= length * width) return;
  const In in = load_pack(part + blockIdx.y * length * width + i);
  float* to = sum + blockIdx.y * sum_stride + i;
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
  Tensor dk_part, dv_part;  // bfloat16 [B, N, G, D]; a chunk fills the first keys
  Tensor lse_part;          // float32 [B, H, chunk]: cuDNN requires it contiguous
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
  add_part<<<grid, kThreads, 0, native(stream)>>>(sum.data<float>(), data_of<bfloat16>(part), length, sum.stride(0),
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

/// cuDNN's deterministic backward in chunks of queries; dk and dv are summed in float32 in the order of the
/// chunks.
void backward_in_chunks(CudnnAttention& cudnn, const Stream& stream, const BackwardCall& whole, const Tensor& lse,
                        int64_t chunk, const Tensor& scratch) {
  const int64_t n = whole.q.size(1), rows = whole.q.size(0) * whole.q.size(2);
  const ChunkScratch parts(scratch, whole.k.shape(), {whole.q.size(0), whole.q.size(2), chunk});
  for (const Tensor& sum : {parts.dk_sum, parts.dv_sum}) {
    LIGHTHOUSE_CUDA(cudaMemsetAsync(sum.raw(), 0, static_cast<size_t>(sum.bytes()), native(stream)));
  }
  for (int64_t begin = 0; begin < n; begin += chunk) {
    const int64_t end = std::min(n, begin + chunk);
    const int64_t first_key = whole.window > 0 ? std::max<int64_t>(0, begin - whole.window + 1) : 0;
    const auto queries = [&](const Tensor& x) { return x.slice(1, begin, end); };
    const auto keys = [&](const Tensor& x) { return x.slice(1, first_key, end); };
    const Tensor dk_part = front(parts.dk_part, end - first_key), dv_part = front(parts.dv_part, end - first_key);
    const Tensor lse_part = parts.lse_part.view({rows, chunk});
    copy_columns(stream, lse_part, lse.view({rows, n}), begin, end);
    const BackwardCall call{queries(whole.dq), dk_part,       dv_part,       queries(whole.dout),    queries(whole.out),
                            queries(whole.q),  keys(whole.k), keys(whole.v), lse_part.data<float>(), whole.window};
    run_backward(cudnn, stream, call, true, parts.workspace);
    add_chunk(stream, keys(parts.dk_sum), dk_part);
    add_chunk(stream, keys(parts.dv_sum), dv_part);
  }
  store_gradient(stream, whole.dk, parts.dk_sum);
  store_gradient(stream, whole.dv, parts.dv_sum);
}

}  // namespace

void CudaBackend::do_attention_forward(const Stream& stream, const Tensor& out, const Tensor& lse,
                                       const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                       const AttentionMask& given) {
  const ProfileRange range("attention_forward");
  const AttentionMask mask = narrowed(given, q.size(1));
  if (q.dtype() == DType::kFloat32) return attention_forward_float32(stream, out, lse, q, k, v, mask);
  if (mask.documents.starts.defined()) {
    return attention_forward_documents(*attention_, stream, out, lse, scratch, q, k, v, mask);
  }
  attention_->run(stream, forward_problem(q, k, v, out, mask.window),
                  {q.raw(), k.raw(), v.raw(), out.raw(), lse.data<float>()}, scratch);
}

void CudaBackend::do_attention_backward(const Stream& stream, const Tensor& dq, const Tensor& dk, const Tensor& dv,
                                        const Tensor& scratch, const Tensor& dout, const Tensor& out, const Tensor& lse,
                                        const Tensor& q, const Tensor& k, const Tensor& v, const AttentionMask& given) {
  const ProfileRange range("attention_backward");
  const AttentionMask mask = narrowed(given, q.size(1));
  if (q.dtype() == DType::kFloat32) {
    return attention_backward_float32(stream, dq, dk, dv, scratch, dout, out, lse, q, k, v, mask);
  }
  if (mask.documents.starts.defined()) {
    return attention_backward_documents(*attention_, stream, {dq, dk, dv, dout, out, q, k, v, lse}, scratch, mask);
  }
  const BackwardCall whole{dq, dk, dv, dout, out, q, k, v, lse.data<float>(), mask.window};
  const int64_t chunk = options_.deterministic
                            ? cuda_scratch::query_chunk(q.shape(), options_.attention_workspace, mask.window)
                            : q.size(1);
  if (chunk >= q.size(1)) return run_backward(*attention_, stream, whole, options_.deterministic, scratch);
  backward_in_chunks(*attention_, stream, whole, lse, chunk, scratch);
}

}  // namespace lighthouse::cuda
