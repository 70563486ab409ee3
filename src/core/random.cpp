#include "lighthouse/core/random.h"

#include <cmath>
#include <numbers>
#include <stdexcept>

namespace lighthouse {
namespace {

/// FNV-1a.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

uint32_t low(uint64_t x) {
  return static_cast<uint32_t>(x);
}
uint32_t high(uint64_t x) {
  return static_cast<uint32_t>(x >> 32);
}

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {high(p1) ^ counter[1] ^ key[0], low(p1), high(p0) ^ counter[3] ^ key[1], low(p0)};
    key = {key[0] + 0x9E3779B9, key[1] + 0xBB67AE85};
  }
  return counter;
}

RandomStream::RandomStream(uint64_t seed, std::string_view name) : seed_(seed), name_hash_(hash_of(name)) {}

uint64_t RandomStream::bits(uint64_t n) const {
  const auto r = philox({low(n), high(n), low(name_hash_), high(name_hash_)}, {low(seed_), high(seed_)});
  return uint64_t{r[1]} << 32 | r[0];
}

double RandomStream::uniform(uint64_t n) const {
  return static_cast<double>(bits(n) >> 11) * 0x1.0p-53;
}

double RandomStream::normal(uint64_t n) const {
  const auto r = philox({low(n), high(n), low(name_hash_), high(name_hash_)}, {low(seed_), high(seed_)});
  const double u = (static_cast<double>(r[0]) + 0.5) * 0x1.0p-32;  // never 0
  const double angle = static_cast<double>(r[1]) * 0x1.0p-32 * 2 * std::numbers::pi;
  return std::sqrt(-2 * std::log(u)) * std::cos(angle);
}

Permutation::Permutation(uint64_t size, RandomStream stream) : size_(size), half_bits_(1), stream_(stream) {
  if (size == 0) throw std::logic_error("a permutation needs at least one element");
  while (half_bits_ < 32 && (uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
}

uint64_t Permutation::operator()(uint64_t index) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = index >> half_bits_;
    uint64_t right = index & mask;
    for (uint64_t round = 0; round < 4; ++round) {
      const uint64_t mixed = left ^ (stream_.bits(round << 60 ^ right) & mask);
      left = right;
      right = mixed;
    }
    index = left << half_bits_ | right;
  } while (index >= size_);  // the network's domain is at most 4 * size_, so few iterations
  return index;
}

}  // namespace lighthouse
