// The same columns of both halves of a head, which RoPE rotates together: in the type of memory, and in float32.
#pragma once

#include "rotation.cuh"

namespace lighthouse::cuda {

/// In the type of memory.
template <typename T, int kSize>
struct PackPair {
  Words<T, kSize> first, second;

  __device__ void clear() {
    first.clear();
    second.clear();
  }
  __device__ void load(const T* from, int half) {
    first = load_words<T, kSize>(from);
    second = load_words<T, kSize>(from + half);
  }
};

template <int kSize>
struct Floats {
  float first[kSize] = {}, second[kSize] = {};

  __device__ void clear() {
#pragma unroll
    for (int i = 0; i < kSize; ++i) first[i] = second[i] = 0;
  }
  template <typename T>
  __device__ void set(const PackPair<T, kSize>& pair) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      first[i] = pair.first.at(i);
      second[i] = pair.second.at(i);
    }
  }
  __device__ void add(const Floats& other) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      first[i] += other.first[i];
      second[i] += other.second[i];
    }
  }
  template <typename T>
  __device__ void add(const PackPair<T, kSize>& pair, float factor) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      first[i] += factor * pair.first.at(i);
      second[i] += factor * pair.second.at(i);
    }
  }
  __device__ void scale(float factor) {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      first[i] *= factor;
      second[i] *= factor;
    }
  }
  /// `direction` is 1, or -1 to rotate back.
  __device__ void rotate(const float* cos, const float* sin, float direction) {
    Angles<kSize>(cos, sin, direction).rotate(first, second);
  }
  template <typename T>
  __device__ void store(T* to, int half, float factor) const {
    float scaled[2][kSize];
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      scaled[0][i] = factor * first[i];
      scaled[1][i] = factor * second[i];
    }
    PackPair<T, kSize> pair;
    pair.first.set(scaled[0]);
    pair.second.set(scaled[1]);
    store_words(to, pair.first);
    store_words(to + half, pair.second);
  }
};

}  // namespace lighthouse::cuda
