// One operation on two backends: the GPU's, and as the reference the CPU's.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lighthouse/ops/backend.h"
#include "lighthouse/ops/transfer.h"
#include "values.h"

namespace lighthouse {

/// A tensor of an operation, on both sides.
struct Operand {
  size_t number;
};

/// A backend, its stream and an operation's tensors there: `on->swiglu_forward(on.stream, on(out), on(gate_up))`.
class Side {
 public:
  Side(Backend& backend, std::vector<Tensor> tensors)
      : stream(backend.compute_stream()), backend_(backend), tensors_(std::move(tensors)) {}

  Backend* operator->() const { return &backend_; }
  const Tensor& operator()(Operand operand) const { return tensors_[operand.number]; }
  bool is_gpu() const { return backend_.device().kind == DeviceKind::kCuda; }

  const Stream stream;

 private:
  Backend& backend_;
  std::vector<Tensor> tensors_;
};

using TestedOperation = std::function<void(const Side&)>;

/// The operands of one side in a single piece of its memory, with poison before, between and after them.
class Block {
 public:
  explicit Block(Backend& backend) : backend_(backend) {}

  /// Without values it starts poisoned.
  void add(DType type, const Shape& shape, const Values& values) {
    places_.push_back({before_.size(), type, shape});
    const Bytes elements = encode(values, type);
    before_.insert(before_.end(), elements.begin(), elements.end());
    before_.resize((places_.back().end() + kAlignment - 1) / kAlignment * kAlignment + kGuard, kPoison);
  }

  /// Runs the operation on a fresh copy of the operands and keeps the results.
  void run(const TestedOperation& operation) {
    after_ = before_;
    const Shape size{static_cast<int64_t>(after_.size())};
    const Memory memory = backend_.allocate(size[0]);
    const Tensor device(memory.address(), size, DType::kUInt8, memory.device());
    const Tensor host(after_.data(), size, DType::kUInt8);
    upload(backend_, device, host);
    std::vector<Tensor> tensors;
    for (const Place& p : places_) tensors.emplace_back(memory.address() + p.begin, p.shape, p.type, memory.device());
    const Side side(backend_, std::move(tensors));
    operation(side);
    backend_.copy(side.stream, host, device);
    backend_.wait(side.stream);
  }

  DType type(Operand operand) const { return places_[operand.number].type; }
  const Shape& shape(Operand operand) const { return places_[operand.number].shape; }
  Bytes before(Operand operand) const { return cut(before_, operand); }
  Bytes after(Operand operand) const { return cut(after_, operand); }

  /// Whether the poison around the operands is unchanged.
  bool kept_within_operands() const {
    size_t begin = 0;
    for (const Place& place : places_) {
      if (!poisoned(begin, place.begin)) return false;
      begin = place.end();
    }
    return poisoned(begin, after_.size());
  }

 private:
  static constexpr size_t kAlignment = 256, kGuard = 256;

  struct Place {
    size_t begin;
    DType type;
    Shape shape;

    size_t end() const { return begin + static_cast<size_t>(shape.numel() * size_of(type)); }
  };

  bool poisoned(size_t begin, size_t end) const {
    return std::all_of(&after_[begin], &after_[begin] + (end - begin), [](std::byte byte) { return byte == kPoison; });
  }
  Bytes cut(const Bytes& bytes, Operand operand) const {
    const Place& place = places_[operand.number];
    return {&bytes[place.begin], &bytes[place.begin] + (place.end() - place.begin)};
  }

  Backend& backend_;
  Bytes before_ = Bytes(kGuard, kPoison), after_;
  std::vector<Place> places_;
};

/// Operands are declared first, then operations run on them. Operands in bfloat16 on the GPU are float32 on the CPU,
/// with the same values.
class Comparison {
 public:
  enum class Bits : uint8_t { kRepeat, kMayVary };

  /// `sizes` are named in the messages of failures.
  Comparison(Backend& gpu, Backend& cpu, const std::string& sizes)
      : trace_(__FILE__, __LINE__, "sizes " + sizes), gpu_backend_(gpu), cpu_backend_(cpu), gpu_(gpu), cpu_(cpu) {}

  /// An input, which must not change. Random unless values are given, as is `updated`.
  Operand input(DType type, const Shape& shape, const Values& values = {}) {
    return add(Role::kInput, type, shape, values.empty() ? random_for(shape) : values);
  }
  /// Read and written.
  Operand updated(DType type, const Shape& shape, const Values& values = {}) {
    return add(Role::kResult, type, shape, values.empty() ? random_for(shape) : values);
  }
  Operand output(DType type, const Shape& shape, Bits bits = Bits::kRepeat) {
    return add(bits == Bits::kRepeat ? Role::kResult : Role::kVaryingResult, type, shape, {});
  }
  Operand scratch(const std::function<int64_t(const Backend&)>& bytes) {
    roles_.push_back(Role::kScratch);
    gpu_.add(DType::kUInt8, {bytes(gpu_backend_)}, {});
    cpu_.add(DType::kUInt8, {bytes(cpu_backend_)}, {});
    return {roles_.size() - 1};
  }

  void run(const TestedOperation& operation) {
    run_on_gpu(operation);
    run_on_cpu(operation);
  }
  void run_on_cpu(const TestedOperation& operation) { cpu_.run(operation); }
  /// Runs twice: the bits must be equal, nothing outside the operands may be written, and inputs must not change.
  void run_on_gpu(const TestedOperation& operation) {
    gpu_.run(operation);
    EXPECT_TRUE(gpu_.kept_within_operands()) << "something was written outside of the operands";
    const Block first = gpu_;
    gpu_.run(operation);
    for (const Operand operand : operands()) {
      if (role(operand) == Role::kInput) {
        EXPECT_TRUE(first.after(operand) == first.before(operand)) << describe(operand) << " was changed";
      } else if (role(operand) == Role::kResult) {
        EXPECT_TRUE(gpu_.after(operand) == first.after(operand))
            << describe(operand) << " was different the second time";
      }
    }
  }

  /// The results of the last runs.
  Values gpu(Operand operand) const { return decode(gpu_.after(operand), gpu_.type(operand)); }
  Values cpu(Operand operand) const { return decode(cpu_.after(operand), cpu_.type(operand)); }
  Bytes gpu_bytes(Operand operand) const { return gpu_.after(operand); }
  [[gnu::noinline]] bool same_on_gpu(Operand a, Operand b) const { return gpu_.after(a) == gpu_.after(b); }
  bool unchanged_on_gpu(Operand operand) const { return gpu_.after(operand) == gpu_.before(operand); }

  /// Every result, within the tolerance of its type.
  void expect_close() const {
    for (const Operand operand : operands()) {
      if (role(operand) == Role::kInput || role(operand) == Role::kScratch) continue;
      const Shape& shape = gpu_.shape(operand);
      EXPECT_TRUE(close(gpu(operand), cpu(operand), shape[shape.rank() - 1], tolerance_of(gpu_.type(operand))))
          << describe(operand);
    }
  }

 private:
  enum class Role : uint8_t { kInput, kResult, kVaryingResult, kScratch };

  Values random_for(const Shape& shape) const {
    return random_values(shape.numel(), static_cast<uint32_t>(roles_.size()));
  }
  Operand add(Role role, DType type, const Shape& shape, const Values& values) {
    roles_.push_back(role);
    gpu_.add(type, shape, values);
    cpu_.add(type == DType::kBFloat16 ? DType::kFloat32 : type, shape, rounded(values, type));
    return {roles_.size() - 1};
  }
  std::vector<Operand> operands() const {
    std::vector<Operand> all(roles_.size());
    for (size_t i = 0; i < all.size(); ++i) all[i].number = i;
    return all;
  }
  Role role(Operand operand) const { return roles_[operand.number]; }
  std::string describe(Operand operand) const {
    return "operand " + std::to_string(operand.number) + ", " + std::string(name_of(gpu_.type(operand))) + " " +
           to_string(gpu_.shape(operand));
  }

  testing::ScopedTrace trace_;
  Backend &gpu_backend_, &cpu_backend_;
  Block gpu_, cpu_;
  std::vector<Role> roles_;
};

}  // namespace lighthouse
