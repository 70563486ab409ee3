#include "cuda_backend.h"

#include <cublasLt.h>
#include <cudnn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "attention_cudnn.h"
#include "cuda_check.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/core/units.h"
#include "lighthouse/ops/gpu_sheets.h"
#include "linear.h"

namespace lighthouse {
namespace cuda {

void check(cudaError_t status, std::string_view call) {
  if (status == cudaSuccess) return;
  throw RunError(
      fmt::format("{} failed on the GPU: {} ({})", call, cudaGetErrorString(status), cudaGetErrorName(status)));
}

namespace {

constexpr int kOldestMajor = 8;

cudaDeviceProp properties_of(int device) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    throw InputError(
        fmt::format("run.device is cuda, but this process can use no GPU ({}); use --set run.device=cpu, or check "
                    "that nvidia-smi lists a GPU and that its driver supports CUDA {}.{}",
                    status == cudaSuccess ? "none is listed" : cudaGetErrorString(status), CUDART_VERSION / 1000,
                    CUDART_VERSION % 1000 / 10));
  }
  if (device < 0 || device >= count) {
    throw InputError(fmt::format("GPU {} does not exist: there are {}, numbered from 0", device, count));
  }
  cudaDeviceProp properties{};
  LIGHTHOUSE_CUDA(cudaGetDeviceProperties(&properties, device));
  if (properties.major < kOldestMajor) {
    throw InputError(fmt::format("{} has compute capability {}.{}; {}.0 or newer is needed (A100, RTX 30, H100, ...)",
                                 properties.name, properties.major, properties.minor, kOldestMajor));
  }
  return properties;
}

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  LIGHTHOUSE_CUDA(cudaDeviceGetAttribute(&value, name, device));
  return value;
}

cudaStream_t make_stream() {
  cudaStream_t stream = nullptr;
  LIGHTHOUSE_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

class CudaGraph final : public Graph {
 public:
  explicit CudaGraph(cudaGraph_t graph) { LIGHTHOUSE_CUDA(cudaGraphInstantiate(&graph_, graph, 0)); }
  ~CudaGraph() override { cudaGraphExecDestroy(graph_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;

  void launch(const Stream& stream) override { LIGHTHOUSE_CUDA(cudaGraphLaunch(graph_, native(stream))); }

 private:
  cudaGraphExec_t graph_ = nullptr;
};

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};

}  // namespace

CudaBackend::CudaBackend(const CudaOptions& options)
    : CudaBackendBase(options), properties_(properties_of(options.device)) {
  if (options.dtype != DType::kBFloat16 && options.dtype != DType::kFloat32) {
    throw std::logic_error("the CUDA backend computes in bfloat16 or float32");
  }
  use_device();
  compute_.reset(make_stream());
  upload_.reset(make_stream());
  download_.reset(make_stream());
  communication_.reset(make_stream());
  linear_ = std::make_unique<LinearPlans>();
  attention_ = std::make_unique<CudnnAttention>();
}

CudaBackend::~CudaBackend() = default;

void CudaBackend::use_device() const {
  LIGHTHOUSE_CUDA(cudaSetDevice(options_.device));
}

std::string CudaBackend::description() const {
  int driver = 0;
  LIGHTHOUSE_CUDA(cudaDriverGetVersion(&driver));
  return fmt::format("{}, compute capability {}.{}; driver for CUDA {}.{}, runtime {}.{}, cuBLASLt {}, cuDNN {}; {}{}",
                     properties_.name, properties_.major, properties_.minor, driver / 1000, driver % 1000 / 10,
                     CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10, cublasLtGetVersion(), cudnnGetVersion(),
                     name_of(options_.dtype), options_.deterministic ? ", deterministic" : "");
}

Hardware CudaBackend::hardware() const {
  use_device();
  size_t free = 0, total = 0;
  LIGHTHOUSE_CUDA(cudaMemGetInfo(&free, &total));
  const double transfers =
      2e3 * attribute(cudaDevAttrMemoryClockRate, options_.device);  // per second and pin of the bus
  const GpuTraits gpu{properties_.name, properties_.major, properties_.minor, properties_.multiProcessorCount,
                      1e3 * attribute(cudaDevAttrClockRate, options_.device)};
  // Left free for what the libraries load later.
  constexpr int64_t kForLibraries = kGibibyte;
  return {properties_.name, std::max<int64_t>(0, static_cast<int64_t>(free) - kForLibraries),
          peak_flops(gpu, options_.dtype), transfers * attribute(cudaDevAttrGlobalMemoryBusWidth, options_.device) / 8};
}

int64_t CudaBackend::memory_in_use() const {
  use_device();
  size_t free = 0, total = 0;
  LIGHTHOUSE_CUDA(cudaMemGetInfo(&free, &total));
  return static_cast<int64_t>(total - free);
}

// ---- Memory ----

Memory CudaBackend::allocate(int64_t bytes) {
  use_device();
  void* address = nullptr;
  const cudaError_t status = cudaMalloc(&address, static_cast<size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // clears the error, which is reported below
    throw InputError(
        fmt::format("{} has {} free, and {} are needed; reduce batch.micro_batch_size or batch.sequence_length, or set "
                    "memory.recompute to more (see `lighthouse plan`)",
                    properties_.name, format_bytes(hardware().memory_bytes), format_bytes(bytes)));
  }
  check(status, "cudaMalloc");
  Memory memory(static_cast<std::byte*>(address), bytes, device(), [device = options_.device](std::byte* begin) {
    cudaSetDevice(device);
    cudaFree(begin);
  });
  LIGHTHOUSE_CUDA(cudaMemset(address, 0, static_cast<size_t>(bytes)));
  LIGHTHOUSE_CUDA(cudaDeviceSynchronize());  // the backend's streams do not wait for the default stream
  return memory;
}

Memory CudaBackend::allocate_host(int64_t bytes) {
  use_device();
  void* address = nullptr;
  const cudaError_t status = cudaMallocHost(&address, static_cast<size_t>(bytes));
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw InputError(fmt::format("the system cannot allocate {} of pinned host memory", format_bytes(bytes)));
  }
  check(status, "cudaMallocHost");
  std::memset(address, 0, static_cast<size_t>(bytes));
  return {static_cast<std::byte*>(address), bytes, Device{}, [device = options_.device](std::byte* begin) {
            cudaSetDevice(device);
            cudaFreeHost(begin);
          }};
}

// ---- Order ----

Event CudaBackend::record(const Stream& stream) {
  use_device();
  cudaEvent_t event = nullptr;
  LIGHTHOUSE_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  const std::shared_ptr<void> owner(event, [device = options_.device](void* handle) {
    cudaSetDevice(device);
    cudaEventDestroy(static_cast<cudaEvent_t>(handle));
  });
  LIGHTHOUSE_CUDA(cudaEventRecord(event, native(stream)));
  return Event(owner);
}

void CudaBackend::wait(const Stream& stream, const Event& event) {
  if (event.handle() == nullptr) return;
  use_device();
  LIGHTHOUSE_CUDA(cudaStreamWaitEvent(native(stream), static_cast<cudaEvent_t>(event.handle())));
}

void CudaBackend::wait(const Event& event) {
  if (event.handle() == nullptr) return;
  use_device();
  LIGHTHOUSE_CUDA(cudaEventSynchronize(static_cast<cudaEvent_t>(event.handle())));
}

void CudaBackend::wait(const Stream& stream) {
  use_device();
  LIGHTHOUSE_CUDA(cudaStreamSynchronize(native(stream)));
}

std::unique_ptr<Graph> CudaBackend::do_capture(const Stream& stream, const std::function<void()>& work) {
  use_device();
  // Captures this thread alone: another thread may copy a checkpoint.
  LIGHTHOUSE_CUDA(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(native(stream), &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    throw;
  }
  LIGHTHOUSE_CUDA(cudaStreamEndCapture(native(stream), &graph));
  const std::unique_ptr<CUgraph_st, DestroyGraph> owner(graph);
  return std::make_unique<CudaGraph>(graph);
}

}  // namespace cuda

int cuda_device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::string cuda_device_id(int device) {
  cudaDeviceProp properties{};
  LIGHTHOUSE_CUDA(cudaGetDeviceProperties(&properties, device));
  std::string id;
  for (const char byte : properties.uuid.bytes) id += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return id;
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  return std::make_unique<cuda::CudaBackend>(options);
}

}  // namespace lighthouse
