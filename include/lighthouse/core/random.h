// Counter-based random numbers: the n-th number of a stream depends on (seed, stream, n) alone, so results do not
// depend on the order of drawing, on threads or on ranks.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace lighthouse {

/// Philox 4x32 with ten rounds (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// A named stream of random numbers: `RandomStream(seed, "model.embed_tokens.weight")`. All members are pure functions.
class RandomStream {
 public:
  RandomStream(uint64_t seed, std::string_view name);

  /// The n-th block of 64 random bits.
  uint64_t bits(uint64_t n) const;
  /// The n-th sample of the uniform distribution on [0, 1).
  double uniform(uint64_t n) const;
  /// The n-th sample of the standard normal distribution (Box-Muller).
  double normal(uint64_t n) const;

 private:
  uint64_t seed_;
  uint64_t name_hash_;
};

/// A pseudo-random permutation of 0 ... size-1 in constant memory: a Feistel network whose output is fed back until it
/// is below `size` (cycle walking).
class Permutation {
 public:
  /// `size` must be at least 1.
  Permutation(uint64_t size, RandomStream stream);
  /// The image of `index`, which must be less than the size.
  uint64_t operator()(uint64_t index) const;

 private:
  uint64_t size_;
  int half_bits_;
  RandomStream stream_;
};

}  // namespace lighthouse
