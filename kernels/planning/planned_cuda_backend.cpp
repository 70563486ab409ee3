#include <stdexcept>
#include <string>
#include <utility>

#include "cuda_backend_base.h"
#include "lighthouse/kernels/planning.h"

namespace lighthouse {
namespace {

class PlannedCudaBackend final : public cuda::CudaBackendBase {
 public:
  PlannedCudaBackend(const CudaOptions& options, Hardware hardware)
      : CudaBackendBase(options), hardware_(std::move(hardware)) {}

  std::string description() const override { return hardware_.name + ", planned"; }
  Hardware hardware() const override { return hardware_; }
  int64_t memory_in_use() const override { return 0; }
  Memory allocate(int64_t) override { throw std::logic_error("a planned GPU has no memory"); }
  Memory allocate_host(int64_t bytes) override { return Memory::host(bytes); }

 private:
  Hardware hardware_;
};

}  // namespace

std::unique_ptr<Backend> make_planned_cuda_backend(const CudaOptions& options, const Hardware& hardware) {
  return std::make_unique<PlannedCudaBackend>(options, hardware);
}

}  // namespace lighthouse
