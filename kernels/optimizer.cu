// Sums over all elements, the decision on a step, AdamW.
#include <cmath>

#include "cuda_backend.h"
#include "cuda_check.h"
#include "device_math.cuh"
#include "profile_range.h"

namespace lighthouse::cuda {
namespace {

// ---- Sums ----

constexpr int kSumThreads = 256;
constexpr int kRun = 8;  // elements that a thread sums at a time
constexpr int64_t kSumBlock = cuda_scratch::kSumBlock;
static_assert(kSumBlock % (kSumThreads * kRun) == 0);
constexpr int kFinalThreads = 1024;

struct Plain {
  static __device__ double of(double x) { return x; }
};

struct Square {
  static __device__ double of(double x) { return x * x; }
};

// Two packs, far enough apart that a warp's accesses are contiguous. Elements past the end are 0.
template <bool kPacked>
__device__ inline void load_run(float (&run)[kRun], const float* x, int64_t begin, int64_t numel) {
  constexpr int kSize = kPacked ? 4 : 1;
#pragma unroll
  for (int first = 0; first < kRun; first += kSize) {
    const int64_t index = begin + int64_t{first} * kSumThreads + int64_t{threadIdx.x} * kSize;
    if (index + kSize <= numel) {
      const auto pack = load_pack<float, kSize>(x + index);
#pragma unroll
      for (int i = 0; i < kSize; ++i) run[first + i] = pack.values[i];
    } else {
#pragma unroll
      for (int i = 0; i < kSize; ++i) run[first + i] = index + i < numel ? x[index + i] : 0.0f;
    }
  }
}

template <typename Term, bool kPacked>
__global__ void __launch_bounds__(kSumThreads) sum_kernel(double* partial, const float* x, int64_t numel) {
  __shared__ double shared[kSumThreads / kWarp];
  const int64_t begin = blockIdx.x * kSumBlock, end = min(numel, begin + kSumBlock);
  double sum = 0;
#pragma unroll 4
  for (int64_t at = begin; at < end; at += kSumThreads * kRun) {
    float run[kRun];
    load_run<kPacked>(run, x, at, numel);
    double of_run = 0;
#pragma unroll
    for (float element : run) of_run += Term::of(element);
    sum += of_run;
  }
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__device__ inline double sum_of_partials(const double* partial, int64_t count) {
  __shared__ double shared[kFinalThreads / kWarp];
  double sum = 0;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < count; i += kFinalThreads) sum += partial[i];
  return block_sum(sum, shared);
}

__global__ void __launch_bounds__(kFinalThreads)
    add_sum_kernel(double* sum, const double* partial, int64_t count, double scale) {
  const double total = sum_of_partials(partial, count);
  if (threadIdx.x == 0) *sum += scale * total;
}

__global__ void __launch_bounds__(kFinalThreads) norm_kernel(double* norm, const double* partial, int64_t count) {
  const double total = sum_of_partials(partial, count);
  if (threadIdx.x == 0) *norm = sqrt(total);
}

__global__ void combine_norms_kernel(double* norm, const double* norms, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += norms[i] * norms[i];
  *norm = sqrt(sum);
}

template <typename Term>
void launch_sum(const Stream& stream, const Tensor& scratch, const Tensor& x) {
  const auto blocks = static_cast<unsigned>(cuda_scratch::sum_blocks(x.numel()));
  if (blocks == 0) return;
  auto* partial = data_of<double>(scratch);
  if (can_pack(4, {&x})) {
    sum_kernel<Term, true><<<blocks, kSumThreads, 0, native(stream)>>>(partial, x.data<float>(), x.numel());
  } else {
    sum_kernel<Term, false><<<blocks, kSumThreads, 0, native(stream)>>>(partial, x.data<float>(), x.numel());
  }
  LIGHTHOUSE_LAUNCHED("sum of blocks");
}

// ---- Update ----

__global__ void plan_update_kernel(float* scalar, double* step, double learning_rate, double max_norm, double beta1,
                                   double beta2) {
  const double norm = step[kGradientNorm];
  const bool finite = isfinite(step[kLoss]) && isfinite(norm);
  step[kSkipped] = finite ? 0 : 1;
  if (finite) step[kUpdates] += 1;
  scalar[kLearningRate] = static_cast<float>(learning_rate);
  scalar[kBiasCorrection1] = static_cast<float>(1 - pow(beta1, step[kUpdates]));
  scalar[kBiasCorrection2] = static_cast<float>(1 - pow(beta2, step[kUpdates]));
  scalar[kGradientScale] = max_norm > 0 && norm > max_norm ? static_cast<float>(max_norm / norm) : 1.0f;
  scalar[kApply] = finite ? 1 : 0;
}

constexpr int kAdamThreads = 256;
constexpr int kAdamSize = 4;  // elements of a thread: 16 bytes of float32, so that a warp's accesses are contiguous

struct AdamConstants {
  float beta1, beta2, rest1, rest2, epsilon, decay;

  explicit AdamConstants(const AdamSettings& settings)
      : beta1(static_cast<float>(settings.beta1)),
        beta2(static_cast<float>(settings.beta2)),
        rest1(static_cast<float>(1 - settings.beta1)),
        rest2(static_cast<float>(1 - settings.beta2)),
        epsilon(static_cast<float>(settings.epsilon)),
        decay(static_cast<float>(settings.weight_decay)) {}
};

template <typename Moment, typename Working>
struct AdamOperands {
  float* weight;
  Working* working;  // may be null
  Moment *m, *v;
  const float *gradient, *scalar;
  int64_t numel;
};

template <int kSize, typename Moment, typename Working>
__device__ void update(const AdamOperands<Moment, Working>& operands, const AdamConstants& constants, int64_t begin) {
  const float rate = operands.scalar[kLearningRate], scale = operands.scalar[kGradientScale];
  const float bias1 = operands.scalar[kBiasCorrection1], bias2 = operands.scalar[kBiasCorrection2];
  auto weight = load_pack<float, kSize>(operands.weight + begin);
  auto m = load_pack<Moment, kSize>(operands.m + begin), v = load_pack<Moment, kSize>(operands.v + begin);
  const auto gradient = load_pack<float, kSize>(operands.gradient + begin);
  Pack<Working, kSize> working;
#pragma unroll
  for (int i = 0; i < kSize; ++i) {
    const float g = gradient.values[i] * scale;
    const float mean = constants.beta1 * to_float(m.values[i]) + constants.rest1 * g;
    const float square = constants.beta2 * to_float(v.values[i]) + constants.rest2 * (g * g);
    float& w = weight.values[i];
    w -= rate * ((mean / bias1) / (sqrtf(square / bias2) + constants.epsilon) + constants.decay * w);
    m.values[i] = from_float<Moment>(mean);
    v.values[i] = from_float<Moment>(square);
    working.values[i] = from_float<Working>(w);
  }
  store_pack(operands.weight + begin, weight);
  store_pack(operands.m + begin, m);
  store_pack(operands.v + begin, v);
  if (operands.working != nullptr) store_pack(operands.working + begin, working);
}

template <int kSize, typename Moment, typename Working>
__global__ void __launch_bounds__(kAdamThreads)
    adamw_kernel(AdamOperands<Moment, Working> operands, AdamConstants constants) {
  if (operands.scalar[kApply] == 0) return;
  const int64_t begin = (int64_t{blockIdx.x} * kAdamThreads + threadIdx.x) * kSize;
  if (begin + kSize <= operands.numel) {
    update<kSize>(operands, constants, begin);
  } else {
#pragma unroll 1
    for (int64_t i = begin; i < operands.numel; ++i) update<1>(operands, constants, i);
  }
}

template <typename Moment, typename Working>
void launch_adamw(const Stream& stream, const AdamOperands<Moment, Working>& operands, bool packed,
                  const AdamSettings& settings) {
  const AdamConstants constants(settings);
  if (packed) {
    const auto grid = static_cast<unsigned>(ceil_div(operands.numel, kAdamThreads * kAdamSize));
    adamw_kernel<kAdamSize><<<grid, kAdamThreads, 0, native(stream)>>>(operands, constants);
  } else {
    const auto grid = static_cast<unsigned>(ceil_div(operands.numel, kAdamThreads));
    adamw_kernel<1><<<grid, kAdamThreads, 0, native(stream)>>>(operands, constants);
  }
  LIGHTHOUSE_LAUNCHED("adamw");
}

}  // namespace

void CudaBackend::do_add_sum(const Stream& stream, const Tensor& sum, const Tensor& scratch, const Tensor& x,
                             double scale) {
  const ProfileRange range("add_sum");
  launch_sum<Plain>(stream, scratch, x);
  add_sum_kernel<<<1, kFinalThreads, 0, native(stream)>>>(sum.data<double>(), data_of<double>(scratch),
                                                          cuda_scratch::sum_blocks(x.numel()), scale);
  LIGHTHOUSE_LAUNCHED("add_sum");
}

void CudaBackend::do_l2_norm(const Stream& stream, const Tensor& norm, const Tensor& scratch, const Tensor& x) {
  const ProfileRange range("l2_norm");
  launch_sum<Square>(stream, scratch, x);
  norm_kernel<<<1, kFinalThreads, 0, native(stream)>>>(norm.data<double>(), data_of<double>(scratch),
                                                       cuda_scratch::sum_blocks(x.numel()));
  LIGHTHOUSE_LAUNCHED("l2_norm");
}

void CudaBackend::do_combine_norms(const Stream& stream, const Tensor& norm, const Tensor& norms) {
  const ProfileRange range("combine_norms");
  combine_norms_kernel<<<1, 1, 0, native(stream)>>>(norm.data<double>(), norms.data<double>(), norms.numel());
  LIGHTHOUSE_LAUNCHED("combine_norms");
}

void CudaBackend::do_plan_update(const Stream& stream, const Tensor& scalars, const Tensor& step, double learning_rate,
                                 double max_norm, const AdamSettings& settings) {
  const ProfileRange range("plan_update");
  plan_update_kernel<<<1, 1, 0, native(stream)>>>(scalars.data<float>(), step.data<double>(), learning_rate, max_norm,
                                                  settings.beta1, settings.beta2);
  LIGHTHOUSE_LAUNCHED("plan_update");
}

void CudaBackend::do_adamw(const Stream& stream, const Tensor& weight, const Tensor& working, const Tensor& m,
                           const Tensor& v, const Tensor& gradient, const Tensor& scalars,
                           const AdamSettings& settings) {
  const ProfileRange range("adamw");
  if (weight.numel() == 0) return;
  const bool packed = can_pack(8, {&weight, &m, &v, &gradient}) && (!working.defined() || can_pack(8, {&working}));
  const auto launch = [&](auto moment, auto of_working) {
    using Moment = decltype(moment);
    using Working = decltype(of_working);
    const AdamOperands<Moment, Working> operands{weight.data<float>(), data_of<Working>(working), data_of<Moment>(m),
                                                 data_of<Moment>(v),   gradient.data<float>(),    scalars.data<float>(),
                                                 weight.numel()};
    launch_adamw(stream, operands, packed, settings);
  };
  with_float_type(m, [&](auto moment) {
    if (!working.defined()) return launch(moment, float{});
    with_float_type(working, [&](auto of_working) { launch(moment, of_working); });
  });
}

}  // namespace lighthouse::cuda
