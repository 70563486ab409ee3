#include "trained_model.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "lighthouse/core/text.h"
#include "lighthouse/ops/transfer.h"
#include "lighthouse/train/model_tokenizer.h"
#include "lighthouse/train/schedule.h"

namespace lighthouse {

std::string ModelCard::title() const {
  return fmt::format("{}, step {}", config.run.name, format_count(state.step));
}

void ModelCard::warn_if_beyond_training(int64_t length) const {
  const int64_t trained = stage.batch.sequence_length;
  if (length <= trained) return;
  spdlog::warn("{} was trained on sequences of {} tokens, shorter than the {} requested", title(),
               format_count(trained), format_count(length));
}

ModelCard read_model_card(const std::filesystem::path& checkpoint_or_run) {
  ModelCard card;
  card.path = find_checkpoint(checkpoint_or_run);
  verify_checkpoint(card.path);
  card.state = load_state(card.path);
  card.config = config_of(card.state, card.path);
  card.stage =
      card.config
          .stages[static_cast<size_t>(stage_of_step(card.config, std::max<int64_t>(card.state.step - 1, 0)).stage)];
  card.model = card.config.model;
  card.model.rope_theta = card.stage.rope_theta;
  return card;
}

DeviceWeights::DeviceWeights(const ModelCard& card, Backend& backend) {
  const auto measured = [&](DType dtype) {
    Arena measuring;
    lay_out_parameters(measuring, MemoryUse::kWeights, card.model, dtype);
    return measuring.used();
  };
  Arena host(measured(DType::kFloat32));
  const Parameters loaded = lay_out_parameters(host, MemoryUse::kWeights, card.model);
  load_weights(card.path, loaded, card.model);
  arena_ = Arena(backend.allocate(measured(backend.dtype())));
  parameters_ = lay_out_parameters(arena_, MemoryUse::kWeights, card.model, backend.dtype());
  if (backend.dtype() == DType::kFloat32) {
    upload(backend, parameters_.flat, loaded.flat);
    return;
  }
  Arena master(backend.allocate(measured(DType::kFloat32)));
  const Parameters exact = lay_out_parameters(master, MemoryUse::kWeights, card.model);
  upload(backend, exact.flat, loaded.flat);
  backend.copy(backend.compute_stream(), parameters_.flat, exact.flat);
  backend.wait(backend.compute_stream());  // before `master` is freed
}

}  // namespace lighthouse
