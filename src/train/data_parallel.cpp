#include "lighthouse/train/data_parallel.h"

#include <fmt/format.h>

#include "lighthouse/core/error.h"
#include "lighthouse/train/training_step.h"

namespace lighthouse {

void check_batch_split(const StageSection& stage, const Mesh& mesh) {
  const BatchSection& batch = stage.batch;
  if (batch.micro_batches() >= mesh.data_size()) return;
  throw InputError(fmt::format(
      "stage {} has {} micro-batches of {} sequences a step, which is less than one for each of {} ranks; {}",
      stage.name, batch.micro_batches(), batch.micro_batch_size, mesh.data_size(),
      batch.global_batch_size >= mesh.data_size()
          ? fmt::format("use batch.micro_batch_size={}", batch.global_batch_size / mesh.data_size())
          : fmt::format("use at most {} ranks, or a batch.global_batch_size of at least {}", batch.global_batch_size,
                        mesh.data_size())));
}

DataParallel::DataParallel(RunMemory& memory, Communicator& communicator, Backend& backend)
    : memory_(memory), communicator_(communicator), backend_(backend) {}

void DataParallel::watch(const Stream& stream, Pass& pass) {
  next_bucket_ = 0;
  pass.model->set_gradient_hook([this, stream](int64_t layer) { ready(stream, layer); });
}

void DataParallel::ready(const Stream& stream, int64_t layer) {
  const std::vector<Bucket>& buckets = memory_.buckets();
  for (; next_bucket_ < buckets.size() && buckets[next_bucket_].layer >= layer; ++next_bucket_) {
    const Bucket& bucket = buckets[next_bucket_];
    const Tensor gradients = memory_.gradients().flat.slice(0, bucket.begin, bucket.end);
    if (memory_.shard().everything) {
      communicator_.all_reduce(stream, gradients);
    } else {
      communicator_.reduce_scatter(stream, gradients);
    }
  }
}

void DataParallel::finish_reductions(const Stream& stream, Pass& pass) {
  pass.model->set_gradient_hook({});
  ready(stream, -1);
  static_assert(kStopRequests == kLoss + 1);
  communicator_.all_reduce(stream, memory_.optimizer().step_scalars().slice(0, kLoss, kStopRequests + 1));
  communicator_.join(stream);
}

void DataParallel::update_weights(const Stream& stream, double learning_rate) {
  if (memory_.shard().everything) return lighthouse::update_weights(stream, backend_, memory_, learning_rate);
  sharded_gradient_norm(stream);
  memory_.optimizer().step(stream, memory_.master_weights(), memory_.weights(), memory_.gradients(), learning_rate);
  for (const Bucket& bucket : memory_.buckets()) {
    communicator_.all_gather(stream, memory_.weights().flat.slice(0, bucket.begin, bucket.end));
  }
  communicator_.join(stream);
}

void DataParallel::sharded_gradient_norm(const Stream& stream) {
  const Tensor& of_ranges = memory_.range_norms();
  const Tensor& of_ranks = memory_.rank_norms();
  int64_t i = 0;
  for (const ShardRange& range : memory_.shard().ranges) {
    backend_.l2_norm(stream, of_ranges.slice(0, i, i + 1), memory_.reduction_scratch(),
                     memory_.gradients().flat.slice(0, range.begin, range.end));
    ++i;
  }
  backend_.fill(stream, of_ranks, 0);
  const int64_t mine = communicator_.rank();
  backend_.combine_norms(stream, of_ranks.slice(0, mine, mine + 1), of_ranges);
  communicator_.all_reduce(stream, of_ranks);
  communicator_.join(stream);
  backend_.combine_norms(stream, memory_.optimizer().step_scalar(kGradientNorm), of_ranks);
}

void DataParallel::gather_master_weights(const Stream& stream) {
  for (const ShardRange& range : memory_.shard().ranges) {
    backend_.copy(stream, memory_.gradients().flat.slice(0, range.begin, range.end),
                  memory_.master_weights().flat.slice(0, range.at, range.at + range.size()));
  }
  for (const Bucket& bucket : memory_.buckets()) {
    communicator_.all_gather(stream, memory_.gradients().flat.slice(0, bucket.begin, bucket.end));
  }
  communicator_.join(stream);
}

}  // namespace lighthouse
