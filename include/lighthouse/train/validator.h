// The loss of a run on its validation data.
#pragma once

#include <cstdint>
#include <memory>

#include "lighthouse/data/batch.h"
#include "lighthouse/data/loader.h"
#include "lighthouse/dist/ranks.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {

/// Evaluates the weights of a run on the validation data of its stages. Each rank evaluates a part of the windows; the
/// losses are added in the order of the windows, so that every rank has the same result.
class Validator {
 public:
  /// Means in nats per token.
  struct Losses {
    double stage = 0;  // in the stage's own attention
    double dense = 0;  // in dense attention
  };

  /// `memory` must be laid out before losses(). All arguments must outlive the object.
  Validator(const RunConfig& config, RunMemory& memory, BatchFeed& feed, Backend& backend, const Ranks& ranks);

  /// Opens the validation data of a stage. Throws InputError if it cannot be used.
  void open(int64_t stage);
  /// Whether the open stage has validation data.
  bool has_data() const { return data_ != nullptr; }
  /// The loss over evaluation.batches micro-batches, spread evenly over the data. All ranks call it together; no step
  /// may be in flight. Throws AllRanksInputError if a rank cannot use its data.
  Losses losses();

 private:
  double loss_in(AttentionKind kind);

  const RunConfig& config_;
  RunMemory& memory_;
  BatchFeed& feed_;
  Backend& backend_;
  const Ranks& ranks_;
  int64_t stage_ = 0;
  std::unique_ptr<WindowedSource> data_;
};

}  // namespace lighthouse
