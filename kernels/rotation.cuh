// Rotary position embedding of a pair of packs: the same columns of both halves of a head.
#pragma once

#include "device_math.cuh"

namespace lighthouse::cuda {

/// The cosines and sines of a pack; direction -1 gives those of the rotation back.
template <int kSize>
struct Angles {
  float cos[kSize], sin[kSize];

  __device__ Angles(const float* cos_row, const float* sin_row, float direction) {
    constexpr int kStep = kSize == 1 ? 1 : 4;
#pragma unroll
    for (int i = 0; i < kSize; i += kStep) {
      const auto c = load_pack<float, kStep>(cos_row + i), s = load_pack<float, kStep>(sin_row + i);
#pragma unroll
      for (int j = 0; j < kStep; ++j) {
        cos[i + j] = c.values[j];
        sin[i + j] = direction * s.values[j];
      }
    }
  }

  __device__ void rotate(float (&first)[kSize], float (&second)[kSize]) const {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      const float a = first[i], b = second[i];
      first[i] = a * cos[i] - b * sin[i];
      second[i] = b * cos[i] + a * sin[i];
    }
  }
};

}  // namespace lighthouse::cuda
