#include "attention_documents.h"
#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "lighthouse/kernels/cuda_scratch.h"
#include "lighthouse/ops/check.h"
#include "scratch_cutter.h"

namespace lighthouse::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLists = static_cast<int>(cuda_scratch::kDocumentLists);

/// For each slot (a document, or empty): its length, and its offset in tensors of `widths` elements a token.
struct Places {
  int32_t* lengths;         // [slots]
  int64_t* begins[kLists];  // [slots + 1]
  int64_t widths[kLists];
};

__global__ void places_kernel(Places places, const int32_t* bounds, int64_t slots, int64_t tokens) {
  const int64_t slot = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (slot > slots) return;
  const int64_t begin = slot < tokens ? bounds[slot] : tokens;
  for (int i = 0; i < kLists; ++i) places.begins[i][slot] = begin * places.widths[i];
  if (slot == slots) return;
  places.lengths[slot] = static_cast<int32_t>((slot + 1 < tokens ? bounds[slot + 1] : tokens) - begin);
}

/// Whether x [B, N, X, D] is a view of a contiguous [B, N, ...]: tokens are equally far apart in the whole batch.
bool is_of_fused(const Tensor& x, int64_t position_stride) {
  return x.stride(1) == position_stride && x.stride(0) == x.size(1) * position_stride && x.stride(2) == x.size(3);
}

AttentionProblem problem_of(const Tensor& out, const Tensor& q, const Tensor& k, const Tensor& v,
                            const AttentionMask& mask) {
  const Documents& documents = mask.documents;
  require(is_of_fused(q, q.stride(1)) && is_of_fused(k, q.stride(1)) && is_of_fused(v, q.stride(1)) &&
              out.is_contiguous() && documents.count > 0 && have_shape({q.size(0) * q.size(1) + 2}, documents.bounds),
          "attention in bfloat16 with documents", {&out, &q, &k, &v, &documents.bounds});
  AttentionProblem p;
  p.batch = cuda_scratch::document_slots(documents.count);
  p.heads = q.size(2);
  p.kv_heads = k.size(2);
  p.queries = p.keys = q.size(1);
  p.head_dim = q.size(3);
  p.packed_tokens = q.size(0) * q.size(1);
  p.window = mask.window;
  p.q = strides_of(q);
  p.k = strides_of(k);
  p.v = strides_of(v);
  p.out = strides_of(out);
  return p;
}

/// Writes the lengths and offsets to scratch and their addresses to `at`.
void add_places(AttentionAddresses& at, ScratchCutter& cutter, const Stream& stream, const AttentionProblem& p,
                const Documents& documents) {
  const int64_t slots = p.batch;
  Places places{static_cast<int32_t*>(cutter.take(slots * int64_t{sizeof(int32_t)})),
                {},
                {p.q.position, p.heads * p.head_dim, p.kv_heads * p.head_dim, p.heads}};
  for (int64_t*& begins : places.begins) {
    begins = static_cast<int64_t*>(cutter.take((slots + 1) * int64_t{sizeof(int64_t)}));
  }
  const auto blocks = static_cast<unsigned>(ceil_div(slots + 1, kThreads));
  places_kernel<<<blocks, kThreads, 0, native(stream)>>>(places, documents.bounds.data<int32_t>(), slots,
                                                         p.packed_tokens);
  LIGHTHOUSE_LAUNCHED("places of documents");
  at.lengths = places.lengths;
  at.at_fused = places.begins[0];
  at.at_queries = places.begins[1];
  at.at_keys = places.begins[2];
  at.at_lse = places.begins[3];
}

/// Copies between views [B, N, X, D] of fused tensors; a contiguous tensor is such a view, too.
void copy_part(const Stream& stream, const Tensor& to, const Tensor& from) {
  const auto size = static_cast<size_t>(size_of(to.dtype()));
  LIGHTHOUSE_CUDA(
      cudaMemcpy2DAsync(to.raw(), static_cast<size_t>(to.stride(1)) * size, from.raw(),
                        static_cast<size_t>(from.stride(1)) * size, static_cast<size_t>(to.size(2) * to.size(3)) * size,
                        static_cast<size_t>(to.size(0) * to.size(1)), cudaMemcpyDeviceToDevice, native(stream)));
}

}  // namespace

void attention_forward_documents(CudnnAttention& cudnn, const Stream& stream, const Tensor& out, const Tensor& lse,
                                 const Tensor& scratch, const Tensor& q, const Tensor& k, const Tensor& v,
                                 const AttentionMask& mask) {
  const AttentionProblem problem = problem_of(out, q, k, v, mask);
  AttentionAddresses at{q.raw(), k.raw(), v.raw(), out.raw(), lse.data<float>()};
  ScratchCutter cutter(scratch);
  add_places(at, cutter, stream, problem, mask.documents);
  cudnn.run(stream, problem, at, cutter.rest());
}

void attention_backward_documents(CudnnAttention& cudnn, const Stream& stream, const AttentionGradient& gradient,
                                  const Tensor& scratch, const AttentionMask& mask) {
  const auto& [dq, dk, dv, dout, out, q, k, v, lse] = gradient;
  AttentionProblem problem = problem_of(out, q, k, v, mask);
  require(is_of_fused(dq, dq.stride(1)) && is_of_fused(dk, dk.stride(1)) && is_of_fused(dv, dv.stride(1)) &&
              dout.is_contiguous(),
          "attention_backward in bfloat16 with documents", {&dq, &dk, &dv, &dout});
  AttentionAddresses at{q.raw(), k.raw(), v.raw(), out.raw(), lse.data<float>(), dout.raw()};
  ScratchCutter cutter(scratch);
  add_places(at, cutter, stream, problem, mask.documents);
  // cuDNN's workspace is as wide as the gradients' rows, which are too wide in a fused tensor. It locates its sums of
  // dq by the strides of q, so q has to be packed as well (otherwise cuDNN 9.19 writes out of bounds).
  const Tensor packed_q = cutter.take(q.shape(), q.dtype());
  copy_part(stream, packed_q, q);
  const Tensor packed_dq = cutter.take(q.shape(), q.dtype());
  const Tensor packed_dk = cutter.take(k.shape(), q.dtype()), packed_dv = cutter.take(k.shape(), q.dtype());
  problem.backward = true;
  problem.q = strides_of(packed_q);
  at.q = packed_q.raw();
  problem.dout = strides_of(dout);
  problem.dq = strides_of(packed_dq);
  problem.dk = strides_of(packed_dk);
  problem.dv = strides_of(packed_dv);
  at.dq = packed_dq.raw();
  at.dk = packed_dk.raw();
  at.dv = packed_dv.raw();
  cudnn.run(stream, problem, at, cutter.rest());
  copy_part(stream, dq, packed_dq);
  copy_part(stream, dk, packed_dk);
  copy_part(stream, dv, packed_dv);
}

}  // namespace lighthouse::cuda
