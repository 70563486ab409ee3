// Lighthouse Attention has no kernels yet: its operations refuse.
#include "cuda_backend.h"
#include "lighthouse/core/error.h"

namespace lighthouse::cuda {
namespace {

[[noreturn]] void refuse() {
  throw InputError("Lighthouse Attention runs on the CPU only so far; use dense attention, or --set run.device=cpu");
}

}  // namespace

void CudaBackend::lighthouse_norm_scores(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                         const LighthouseShape&) {
  refuse();
}
void CudaBackend::lighthouse_dilated_scores(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                            const Tensor&, const Tensor&, int64_t, const LighthouseShape&) {
  refuse();
}
int64_t CudaBackend::lighthouse_dilated_scores_scratch(const Shape&, int64_t, int64_t, const LighthouseShape&) const {
  refuse();
}
void CudaBackend::lighthouse_select(const Stream&, const Tensor&, const Tensor&, const Tensor&,
                                    const LighthouseShape&) {
  refuse();
}
void CudaBackend::lighthouse_invert(const Stream&, const Tensor&, const Tensor&, const LighthouseShape&) {
  refuse();
}
void CudaBackend::lighthouse_gather(const Stream&, const Tensor&, const Tensor&, const Tensor&,
                                    const LighthouseShape&) {
  refuse();
}
void CudaBackend::lighthouse_gather_backward(const Stream&, const Tensor&, const Tensor&, const Tensor&,
                                             const LighthouseShape&) {
  refuse();
}
void CudaBackend::lighthouse_scatter(const Stream&, const Tensor&, const Tensor&, const Tensor&,
                                     const LighthouseShape&) {
  refuse();
}
void CudaBackend::lighthouse_scatter_backward(const Stream&, const Tensor&, const Tensor&, const Tensor&,
                                              const LighthouseShape&) {
  refuse();
}

}  // namespace lighthouse::cuda
