#include <omp.h>

#include <algorithm>

#include "cpu_backend.h"
#include "lighthouse/ops/check.h"

namespace lighthouse::cpu {
namespace {

// Checked on the CPU alone: on a GPU the values of the tokens are not known to the host.
void check_tokens(const char* operation, const Tensor& tokens, const Tensor& weight) {
  const int32_t* data = tokens.data<int32_t>();
  const int64_t vocab_size = weight.size(0);
  require(std::all_of(data, data + tokens.numel(), [=](int32_t t) { return t >= 0 && t < vocab_size; }), operation,
          {&tokens, &weight});
}

}  // namespace

void CpuBackend::do_embedding_forward(const Stream&, const Tensor& out, const Tensor& weight, const Tensor& tokens) {
  check_tokens("embedding_forward", tokens, weight);
  const int64_t rows = out.size(0), columns = out.size(1);
  float* out_data = out.data<float>();
  const float* table = weight.data<float>();
  const int32_t* token = tokens.data<int32_t>();
#pragma omp parallel for schedule(static)
  for (int64_t t = 0; t < rows; ++t) std::copy_n(table + token[t] * columns, columns, out_data + t * columns);
}

// Each thread owns some columns and adds all tokens in order: the sums do not depend on the number of threads.
void CpuBackend::do_embedding_backward(const Stream&, const Tensor& dweight, const Tensor&, const Tensor& dout,
                                       const Tensor& tokens) {
  check_tokens("embedding_backward", tokens, dweight);
  const int64_t rows = dout.size(0), columns = dout.size(1);
  constexpr int64_t kLine = 16;  // floats of a cache line
  const int64_t lines = (columns + kLine - 1) / kLine;
  float* table = dweight.data<float>();
  const float* gradient = dout.data<float>();
  const int32_t* token = tokens.data<int32_t>();
#pragma omp parallel
  {
    const int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const int64_t begin = lines * thread / threads * kLine;
    const int64_t end = std::min(columns, lines * (thread + 1) / threads * kLine);
    for (int64_t t = 0; t < rows; ++t) {
      float* to = table + token[t] * columns;
      const float* from = gradient + t * columns;
#pragma omp simd
      for (int64_t c = begin; c < end; ++c) to[c] += from[c];
    }
  }
}

}  // namespace lighthouse::cpu
