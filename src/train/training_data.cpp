#include "lighthouse/train/training_data.h"

#include "lighthouse/dist/partition.h"
#include "stage_data.h"

namespace lighthouse {
namespace {

IndexRange share_of(const BatchSection& batch, const Mesh& mesh) {
  return split_evenly(batch.micro_batches(), mesh.data_size(), mesh.data_rank());
}

}  // namespace

TrainingData::TrainingData(const RunConfig& config, const Mesh& mesh) : config_(config), mesh_(mesh) {}

void TrainingData::open(int64_t stage, const std::map<std::string, SourceProgress>& progress, bool stage_begins) {
  stage_ = &config_.stages[static_cast<size_t>(stage)];
  loader_ = open_loader(config_, *stage_);
  LoaderPosition position;
  for (const DataSource& source : stage_->data.train) {
    const auto found = progress.find(source.path);
    const SourceProgress drawn = found == progress.end() ? SourceProgress{} : found->second;
    position.tokens.push_back(drawn.tokens);
    position.mixed.push_back(stage_begins ? 0 : drawn.mixed);
  }
  loader_->seek(position);
}

void TrainingData::begin_step() {
  skip(share_of(stage_->batch, mesh_).begin);
}

void TrainingData::next(std::span<int32_t> windows) {
  const int64_t sequences = stage_->batch.micro_batch_size;
  loader_->next(sequences, 0, sequences, windows);
}

void TrainingData::end_step() {
  skip(stage_->batch.micro_batches() - share_of(stage_->batch, mesh_).end);
}

void TrainingData::skip(int64_t micro_batches) {
  loader_->next(micro_batches * stage_->batch.micro_batch_size, 0, 0, {});
}

std::map<std::string, SourceProgress> TrainingData::progress() const {
  const LoaderPosition position = loader_->position();
  std::map<std::string, SourceProgress> progress;
  for (size_t i = 0; i < stage_->data.train.size(); ++i) {
    progress[stage_->data.train[i].path] = {position.tokens[i], position.mixed[i]};
  }
  return progress;
}

}  // namespace lighthouse
