#include "lighthouse/core/arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <stdexcept>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

struct Layout {
  Tensor weights, first, second, last;
};

Layout lay_out(Arena& arena) {
  Layout layout;
  layout.weights = arena.allocate(MemoryUse::kWeights, {3, 5});
  arena.overlay({[&] { layout.first = arena.allocate(MemoryUse::kScratch, {1000}); },
                 [&] {
                   layout.second = arena.allocate(MemoryUse::kActivations, {100}, DType::kUInt8);
                   arena.allocate(MemoryUse::kActivations, {7}, DType::kInt64);
                 }});
  layout.last = arena.allocate(MemoryUse::kBatch, {1}, DType::kInt32);
  return layout;
}

TEST(ArenaTest, MeasuringArenaCountsWhatARealOneNeeds) {
  Arena plan;
  EXPECT_TRUE(plan.measuring());
  EXPECT_FALSE(lay_out(plan).weights.defined());

  Arena real(plan.used());
  EXPECT_FALSE(real.measuring());
  EXPECT_TRUE(lay_out(real).last.defined());
  EXPECT_EQ(real.used(), plan.used());
  for (int use = 0; use < kMemoryUses; ++use) {
    EXPECT_EQ(real.used(static_cast<MemoryUse>(use)), plan.used(static_cast<MemoryUse>(use)));
  }
  EXPECT_THROW(real.allocate(MemoryUse::kScratch, {1}), std::logic_error);
}

TEST(ArenaTest, OverlaidLayoutsShareMemory) {
  Arena arena(1 << 20);
  const Layout layout = lay_out(arena);
  EXPECT_EQ(layout.first.raw(), layout.second.raw());
  EXPECT_EQ(static_cast<std::byte*>(layout.last.raw()) - static_cast<std::byte*>(layout.first.raw()), 4096);
  EXPECT_EQ(arena.used(MemoryUse::kScratch), 4096);
  EXPECT_EQ(arena.used(MemoryUse::kActivations), 0);  // the smaller layout shares the larger one's memory
  EXPECT_EQ(arena.used(), 256 + 4096 + 256);
}

TEST(ArenaTest, OverlaysNestAndUsesAddUp) {
  Arena arena;
  arena.allocate(MemoryUse::kScratch, {64});
  arena.overlay({[&] { arena.allocate(MemoryUse::kBatch, {64}); },
                 [&] {
                   arena.allocate(MemoryUse::kActivations, {64});
                   arena.overlay({[&] { arena.allocate(MemoryUse::kScratch, {64}); },
                                  [&] { arena.allocate(MemoryUse::kScratch, {128}); }, [] {}});
                 }});
  arena.overlay({});
  EXPECT_EQ(arena.used(MemoryUse::kScratch), 256 + 512);
  EXPECT_EQ(arena.used(MemoryUse::kActivations), 256);
  EXPECT_EQ(arena.used(MemoryUse::kBatch), 0);
  EXPECT_EQ(arena.used(), 1024);
}

TEST(ArenaTest, EmptyTensorsTakeNothing) {
  Arena arena;
  arena.allocate(MemoryUse::kScratch, {0, 5});
  EXPECT_EQ(arena.used(), 0);
}

TEST(ArenaTest, AlignsAndZeroes) {
  Arena arena(1 << 16);
  for (int64_t size : {1, 3, 257}) {
    const Tensor tensor = arena.allocate(MemoryUse::kScratch, {size}, DType::kUInt8);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.raw()) % Arena::kAlignment, 0);
    const auto* bytes = tensor.data<uint8_t>();
    EXPECT_TRUE(std::all_of(bytes, bytes + size, [](uint8_t byte) { return byte == 0; }));
  }
}

TEST(ArenaTest, SurvivesMoving) {
  Arena arena(1 << 16);
  const Tensor tensor = arena.allocate(MemoryUse::kWeights, {4});
  Arena moved = std::move(arena);
  tensor.data<float>()[3] = 1;
  EXPECT_FALSE(moved.measuring());
  EXPECT_EQ(moved.used(MemoryUse::kWeights), 256);
}

TEST(ArenaTest, ThrowsWithoutMemory) {
  EXPECT_THROW(Arena(int64_t{1} << 62), InputError);
}

}  // namespace
}  // namespace lighthouse
