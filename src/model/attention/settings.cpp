#include "lighthouse/model/attention/settings.h"

#include <fmt/format.h>

#include <algorithm>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

void check_dilation(const LighthouseSettings& settings, int64_t sequence_length) {
  const int64_t d = settings.dilation;
  if (settings.scorer != Scorer::kDilated) return;
  if (d < 1) throw InputError(fmt::format("dilation is {}; expected at least 1", d));
  if (sequence_length % d == 0) return;
  int64_t nearest = std::min(d, sequence_length);
  while (sequence_length % nearest != 0) --nearest;
  throw InputError(fmt::format("dilation {} does not divide the sequence length, {}; the nearest below that does is {}",
                               d, sequence_length, nearest));
}

void check_layers_exist(const char* name, const std::vector<int64_t>& layers, int64_t num_layers) {
  for (int64_t layer : layers) {
    if (layer_index(layer, num_layers) >= 0) continue;
    throw InputError(fmt::format("{} names layer {}, but the model has {} layers: {} to {}, or {} to -1 from the end",
                                 name, layer, num_layers, 0, num_layers - 1, -num_layers));
  }
}

void check_no_layer_is_both(const LighthouseSettings& settings, int64_t num_layers) {
  for (int64_t dense : settings.dense_layers) {
    for (int64_t window : settings.window_layers) {
      if (layer_index(dense, num_layers) != layer_index(window, num_layers)) continue;
      throw InputError(
          fmt::format("layer {} is in dense_layers and in window_layers; a layer has one kind: remove it from one",
                      layer_index(dense, num_layers)));
    }
  }
}

void check_some_layer_is_lighthouse(const AttentionSettings& settings, int64_t num_layers) {
  const LighthouseSettings& lighthouse = settings.lighthouse;
  const auto layers = attention_of_layers(AttentionKind::kLighthouse, settings, num_layers);
  const auto is_lighthouse = [](const LayerAttention& layer) { return layer.kind == AttentionKind::kLighthouse; };
  if (std::any_of(layers.begin(), layers.end(), is_lighthouse)) return;
  if (lighthouse.window_layers.empty() && lighthouse.window_every == 0) {
    throw InputError(
        fmt::format("dense_layers [{}] makes all {} layers of the model dense; leave at least one out, as in {}",
                    fmt::join(lighthouse.dense_layers, ", "), num_layers,
                    num_layers > 2   ? "[0, -1]"
                    : num_layers > 1 ? "[0]"
                                     : "[]"));
  }
  throw InputError(
      fmt::format("dense_layers [{}], window_layers [{}] and window_every {} leave none of the {} layers for "
                  "Lighthouse; leave at least one out, or give the stage attention: window",
                  fmt::join(lighthouse.dense_layers, ", "), fmt::join(lighthouse.window_layers, ", "),
                  lighthouse.window_every, num_layers));
}

}  // namespace

std::string_view name_of(AttentionKind kind) {
  switch (kind) {
    case AttentionKind::kDense:
      return "dense";
    case AttentionKind::kWindow:
      return "window";
    case AttentionKind::kLighthouse:
      return "lighthouse";
  }
  return "";
}

std::string_view name_of(Scorer scorer) {
  return scorer == Scorer::kNorm ? "norm" : "dilated";
}

AttentionKind attention_kind_of(std::string_view name) {
  for (AttentionKind kind : {AttentionKind::kDense, AttentionKind::kWindow, AttentionKind::kLighthouse}) {
    if (name == name_of(kind)) return kind;
  }
  throw InputError(fmt::format("\"{}\" is not a kind of attention; expected dense, window or lighthouse", name));
}

std::string describe(const LayerAttention& layer) {
  switch (layer.kind) {
    case AttentionKind::kDense:
      return "dense";
    case AttentionKind::kWindow:
      return fmt::format("window {}", layer.window);
    case AttentionKind::kLighthouse:
      return layer.window > 0 ? fmt::format("lighthouse + window {}", layer.window) : "lighthouse";
  }
  return "";
}

std::vector<int64_t> paper_dense_layers() {
  return {0, 1, -2, -1};
}

LighthouseShape LighthouseSettings::shape(int64_t sequence_length) const {
  LighthouseShape shape;
  shape.sequence_length = sequence_length;
  shape.levels = levels;
  shape.pooling_factor = pooling_factor;
  shape.top_k = top_k;
  shape.tile = tile;
  shape.cover_prefix = cover_prefix;
  return shape;
}

void AttentionSettings::check(AttentionKind step, int64_t sequence_length, int64_t num_layers) const {
  const bool uses_windows =
      step == AttentionKind::kWindow ||
      (step == AttentionKind::kLighthouse && (!lighthouse.window_layers.empty() || lighthouse.window_every > 0));
  if (uses_windows && window == 0) {
    throw InputError(
        "some layers are of kind window, but attention.window, their width, is not set; set it, for example to 1024");
  }
  if (step != AttentionKind::kLighthouse) return;
  lighthouse.shape(sequence_length).check();
  check_dilation(lighthouse, sequence_length);
  check_layers_exist("dense_layers", lighthouse.dense_layers, num_layers);
  check_layers_exist("window_layers", lighthouse.window_layers, num_layers);
  check_no_layer_is_both(lighthouse, num_layers);
  check_some_layer_is_lighthouse(*this, num_layers);
}

int64_t layer_index(int64_t layer, int64_t num_layers) {
  const int64_t from_start = layer < 0 ? num_layers + layer : layer;
  return from_start >= 0 && from_start < num_layers ? from_start : -1;
}

std::vector<LayerAttention> attention_of_layers(AttentionKind step, const AttentionSettings& settings,
                                                int64_t num_layers) {
  const LayerAttention window{AttentionKind::kWindow, settings.window};
  const auto count = static_cast<size_t>(num_layers);
  if (step == AttentionKind::kDense) return std::vector<LayerAttention>(count);
  if (step == AttentionKind::kWindow) return std::vector<LayerAttention>(count, window);
  const LighthouseSettings& lighthouse = settings.lighthouse;
  std::vector<LayerAttention> layers(count, {AttentionKind::kLighthouse, lighthouse.window});
  const auto assign = [&](const std::vector<int64_t>& named, const LayerAttention& attention) {
    for (int64_t layer : named) {
      const int64_t index = layer_index(layer, num_layers);
      if (index >= 0) layers[static_cast<size_t>(index)] = attention;
    }
  };
  for (int64_t i = 0; lighthouse.window_every > 0 && i < num_layers; i += lighthouse.window_every) {
    layers[static_cast<size_t>(i)] = window;
  }
  assign(lighthouse.window_layers, window);
  assign(lighthouse.dense_layers, {});
  return layers;
}

}  // namespace lighthouse
