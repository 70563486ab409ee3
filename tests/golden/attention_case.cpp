#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "golden_case.h"
#include "lighthouse/core/arena.h"
#include "lighthouse/core/error.h"
#include "lighthouse/model/attention/lighthouse.h"

namespace lighthouse::golden {
namespace {

constexpr double kLimit = 5e-6;

AttentionShape shape_of(const Json& s) {
  return {s.at("B"), s.at("N"), s.at("H"), s.value("kv_heads", s.at("H").get<int64_t>()), s.at("D")};
}

LighthouseSettings lighthouse_of(const Json& s) {
  LighthouseSettings settings;
  settings.levels = s.at("L");
  settings.pooling_factor = s.at("p");
  settings.top_k = s.at("k");
  settings.tile = s.at("tile");
  settings.cover_prefix = s.at("cover_prefix");
  settings.scorer = scorer_of(s);
  if (settings.scorer == Scorer::kDilated) settings.dilation = s.at("dilation");
  settings.dense_layers.clear();
  return settings;
}

/// The tensors of one layer's forward and backward.
struct Layer {
  RopeTable rope;
  Tensor qkv, dqkv, out, dout;
  Tensor s_q, s_k, scratch;

  void lay_out(Arena& arena, LighthouseAttention& attention, const AttentionShape& shape,
               const LighthouseSettings& settings, Backend& backend) {
    const auto take = [&](const Shape& s) { return arena.allocate(MemoryUse::kActivations, s); };
    const int64_t n = shape.sequence_length;
    const LighthouseShape pyramid = settings.shape(n);
    const Shape heads{shape.batch, n, shape.heads, shape.head_dim};
    rope = {take({n, shape.head_dim / 2}), take({n, shape.head_dim / 2})};
    qkv = take({shape.batch, n, shape.qkv_size()});
    dqkv = take(qkv.shape());
    out = take(heads);
    dout = take(heads);
    s_q = take({shape.batch, shape.kv_heads, pyramid.scored_entries()});
    s_k = take(s_q.shape());
    scratch = arena.allocate(
        MemoryUse::kScratch,
        {backend.lighthouse_dilated_scores_scratch(heads, shape.kv_heads, settings.dilation, pyramid)}, DType::kUInt8);
    attention.lay_out_kept(arena);
    attention.lay_out_scratch(arena);
  }
};

/// Scores of the levels above 0, where the file has them.
void check_scores(std::vector<Check>& checks, const SafetensorsFile& file, const Layer& layer,
                  const AttentionShape& shape, const LighthouseSettings& settings, Backend& backend) {
  if (!file.has("scores_qk") || !file.has("scores_kq")) return;
  const LighthouseShape pyramid = settings.shape(shape.sequence_length);
  const QkvViews in(layer.qkv, shape);
  if (settings.scorer == Scorer::kNorm) {
    backend.lighthouse_norm_scores(Stream(), layer.s_q, layer.s_k, in.q, in.k, pyramid);
  } else {
    backend.lighthouse_dilated_scores(Stream(), layer.s_q, layer.s_k, layer.scratch, in.q, in.k, in.v,
                                      settings.dilation, pyramid);
  }
  const auto above_tokens = [&](const char* name) {
    return file.at(name).slice(2, shape.sequence_length, pyramid.all_entries());
  };
  checks.push_back({"scores_qk", relative_error(layer.s_q, above_tokens("scores_qk")), kLimit});
  checks.push_back({"scores_kq", relative_error(layer.s_k, above_tokens("scores_kq")), kLimit});
}

Check compare_indices(const Tensor& actual, const Tensor& reference) {
  const int32_t* a = actual.data<int32_t>();
  const int32_t* r = reference.data<int32_t>();
  int64_t different = 0;
  for (int64_t i = 0; i < actual.numel(); ++i) different += a[i] != r[i];
  return {"indices (number that differ)", static_cast<double>(different), 0};
}

}  // namespace

std::vector<Check> run_attention_case(const SafetensorsFile& file, const Json& json, const RunOptions& options,
                                      Backend& backend) {
  const AttentionShape shape = shape_of(json);
  const LighthouseSettings settings = lighthouse_of(json);
  Layer layer;
  LighthouseAttention attention(settings, shape, layer.rope, backend);
  Arena measuring;
  layer.lay_out(measuring, attention, shape, settings, backend);
  Arena arena(measuring.used());
  layer.lay_out(arena, attention, shape, settings, backend);

  // q and k come rotated: rotate by nothing.
  backend.fill(Stream(), layer.rope.cos, 1);
  backend.fill(Stream(), layer.rope.sin, 0);
  const QkvViews in(layer.qkv, shape);
  copy_elements(in.q, file.at("q"));
  copy_elements(in.k, file.at("k"));
  copy_elements(in.v, file.at("v"));
  copy_elements(layer.dout, file.at("dout").transpose(1, 2));

  std::vector<Check> checks;
  check_scores(checks, file, layer, shape, settings, backend);
  const Tensor& indices = file.at("indices", attention.indices().shape(), DType::kInt32);
  attention.select(Stream(), layer.qkv);
  checks.push_back(compare_indices(attention.indices(), indices));
  if (options.indices_from_file) backend.copy(Stream(), attention.indices(), indices);
  attention.attend(Stream(), layer.out, layer.qkv);
  attention.backward(Stream(), layer.dqkv, layer.dout, layer.out, layer.qkv);
  const QkvViews d(layer.dqkv, shape);
  checks.push_back({"out", relative_error(layer.out, file.at("out").transpose(1, 2)), kLimit});
  checks.push_back({"dq", relative_error(d.q, file.at("dq")), kLimit});
  checks.push_back({"dk", relative_error(d.k, file.at("dk")), kLimit});
  checks.push_back({"dv", relative_error(d.v, file.at("dv")), kLimit});
  return checks;
}

}  // namespace lighthouse::golden
