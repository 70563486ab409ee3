#include "lighthouse/train/data_parallel.h"

#include <fmt/format.h>

#include <stdexcept>

#include "lighthouse/core/error.h"
#include "lighthouse/train/training_step.h"

namespace lighthouse {

void check_batch_split(const StageSection& stage, const Mesh& mesh) {
  const BatchSection& batch = stage.batch;
  if (batch.micro_batches() >= mesh.data_size()) return;
  throw InputError(
      fmt::format("stage {} has {} micro-batches of {} sequences in a step, fewer than one for each of {} ranks; {}",
                  stage.name, batch.micro_batches(), batch.micro_batch_size, mesh.data_size(),
                  batch.global_batch_size >= mesh.data_size()
                      ? fmt::format("use batch.micro_batch_size={}", batch.global_batch_size / mesh.data_size())
                      : fmt::format("use at most {} ranks, or a batch.global_batch_size of at least {}",
                                    batch.global_batch_size, mesh.data_size())));
}

DataParallel::DataParallel(RunMemory& memory, Communicator& data, Backend& backend)
    : memory_(memory), data_(data), backend_(backend) {
  const Mesh& mesh = memory.mesh();
  if (data.size() != mesh.data_size() || data.rank() != mesh.data_rank()) {
    throw std::logic_error("DataParallel: not the communicator of the data dimension");
  }
}

void DataParallel::watch(const Stream& stream, Pass& pass) {
  next_bucket_ = 0;
  hooks_ = pass.model->add_hooks(
      {.gradients_ready = [this, stream](int64_t layer) { reduce_complete_buckets(stream, layer); }});
}

void DataParallel::reduce_complete_buckets(const Stream& stream, int64_t layer) {
  const std::vector<Bucket>& buckets = memory_.buckets();
  for (; next_bucket_ < buckets.size() && buckets[next_bucket_].layer >= layer; ++next_bucket_) {
    const Bucket& bucket = buckets[next_bucket_];
    const Tensor gradients = memory_.gradients().flat.slice(0, bucket.begin, bucket.end);
    if (memory_.shard().everything) {
      data_.all_reduce(stream, gradients);
    } else {
      data_.reduce_scatter(stream, gradients);
    }
  }
}

void DataParallel::finish_reductions(const Stream& stream, Pass& pass) {
  pass.model->remove_hooks(hooks_);
  reduce_complete_buckets(stream, -1);
  static_assert(kStopRequests == kLoss + 1);
  data_.all_reduce(stream, memory_.optimizer().step_scalars().slice(0, kLoss, kStopRequests + 1));
  data_.join(stream);
}

void DataParallel::update_weights(const Stream& stream, double learning_rate) {
  if (memory_.shard().everything) return lighthouse::update_weights(stream, backend_, memory_, learning_rate);
  sharded_gradient_norm(stream);
  memory_.optimizer().step(stream, memory_.master_weights(), memory_.weights(), memory_.gradients(), learning_rate);
  for (const Bucket& bucket : memory_.buckets()) {
    data_.all_gather(stream, memory_.weights().flat.slice(0, bucket.begin, bucket.end));
  }
  data_.join(stream);
}

void DataParallel::sharded_gradient_norm(const Stream& stream) {
  const Tensor& of_ranges = memory_.range_norms();
  const Tensor& of_ranks = memory_.rank_norms();
  int64_t i = 0;
  for (const ShardRange& range : memory_.shard().ranges) {
    backend_.l2_norm(stream, of_ranges.slice(0, i, i + 1), memory_.reduction_scratch(),
                     range.in_flat(memory_.gradients().flat));
    ++i;
  }
  backend_.fill(stream, of_ranks, 0);
  const int64_t rank = data_.rank();
  backend_.combine_norms(stream, of_ranks.slice(0, rank, rank + 1), of_ranges);
  data_.all_reduce(stream, of_ranks);
  data_.join(stream);
  backend_.combine_norms(stream, memory_.optimizer().step_scalar(kGradientNorm), of_ranks);
}

void DataParallel::gather_master_weights(const Stream& stream) {
  for (const ShardRange& range : memory_.shard().ranges) {
    backend_.copy(stream, range.in_flat(memory_.gradients().flat), range.in_shard(memory_.master_weights().flat));
  }
  for (const Bucket& bucket : memory_.buckets()) {
    data_.all_gather(stream, memory_.gradients().flat.slice(0, bucket.begin, bucket.end));
  }
  data_.join(stream);
}

}  // namespace lighthouse
