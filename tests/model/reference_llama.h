// A Llama in plain loops and double precision, written from the published formulas. Tests compare the model's forward
// with it, and its backward with finite differences of it. Lighthouse layers take their selection from the test, so
// that it stays fixed while weights vary.
#pragma once

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lighthouse/model/config.h"
#include "lighthouse/ops/lighthouse_shape.h"

namespace lighthouse {

using Values = std::vector<double>;

/// The gathered entries of one layer: [B, G, S] entry numbers.
struct ReferenceSelection {
  LighthouseShape shape;
  std::vector<int32_t> entries;
};

class ReferenceLlama {
 public:
  ReferenceLlama(const ModelConfig& config, int64_t batch, int64_t length)
      : config_(config), batch_(batch), length_(length) {}

  std::map<std::string, Values> weights;             // under Hugging Face's names
  std::map<int64_t, ReferenceSelection> selections;  // of the Lighthouse layers
  std::map<int64_t, int64_t> windows;                // widths, of window layers and of Lighthouse layers with one

  /// [B N, V], V without padding.
  Values logits(const std::vector<int32_t>& tokens) const {
    const int64_t c = config_.hidden_size;
    Values x;
    const Values& table = at("model.embed_tokens");
    for (int32_t token : tokens) {
      for (int64_t i = 0; i < c; ++i) x.push_back(table[static_cast<size_t>(token * c + i)]);
    }
    for (int64_t layer = 0; layer < config_.num_hidden_layers; ++layer) {
      const std::string name = "model.layers." + std::to_string(layer) + ".";
      const Values normed = rmsnorm(x, at(name + "input_layernorm"));
      Values q = linear(normed, at(name + "self_attn.q_proj"), c);
      Values k = linear(normed, at(name + "self_attn.k_proj"), c);
      const Values v = linear(normed, at(name + "self_attn.v_proj"), c);
      rotate(q, config_.num_attention_heads);
      rotate(k, config_.num_key_value_heads);
      add(x, linear(attend(layer, q, k, v), at(name + "self_attn.o_proj"),
                    config_.num_attention_heads * config_.head_dim()));
      const Values middle = rmsnorm(x, at(name + "post_attention_layernorm"));
      Values gate = linear(middle, at(name + "mlp.gate_proj"), c);
      const Values up = linear(middle, at(name + "mlp.up_proj"), c);
      for (size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      add(x, linear(gate, at(name + "mlp.down_proj"), config_.intermediate_size));
    }
    const Values last = rmsnorm(x, at("model.norm"));
    return linear(last, at(config_.tie_word_embeddings ? "model.embed_tokens" : "lm_head"), c);
  }

  /// -log p(target) of each token, in nats; 0 for a negative target.
  Values losses(const std::vector<int32_t>& tokens, const std::vector<int32_t>& targets) const {
    const Values all = logits(tokens);
    const auto v = static_cast<size_t>(config_.vocab_size);
    Values result;
    for (size_t t = 0; t < targets.size(); ++t) {
      double sum = 0;
      for (size_t i = 0; i < v; ++i) sum += std::exp(all[t * v + i]);
      result.push_back(targets[t] < 0 ? 0 : std::log(sum) - all[t * v + static_cast<size_t>(targets[t])]);
    }
    return result;
  }

  /// The sum of the losses over the number of tokens.
  double loss(const std::vector<int32_t>& tokens, const std::vector<int32_t>& targets) const {
    double sum = 0;
    for (double value : losses(tokens, targets)) sum += value;
    return sum / static_cast<double>(targets.size());
  }

 private:
  const Values& at(const std::string& name) const { return weights.at(name + ".weight"); }

  static void add(Values& x, const Values& y) {
    for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  static Values linear(const Values& x, const Values& weight, int64_t inputs) {
    const auto n = static_cast<size_t>(inputs);
    const size_t outputs = weight.size() / n;
    Values result(x.size() / n * outputs);
    for (size_t row = 0; row < x.size() / n; ++row) {
      for (size_t o = 0; o < outputs; ++o) {
        double sum = 0;
        for (size_t i = 0; i < n; ++i) sum += x[row * n + i] * weight[o * n + i];
        result[row * outputs + o] = sum;
      }
    }
    return result;
  }

  Values rmsnorm(const Values& x, const Values& weight) const {
    const size_t c = weight.size();
    Values result(x.size());
    for (size_t begin = 0; begin < x.size(); begin += c) {
      double squares = 0;
      for (size_t i = 0; i < c; ++i) squares += x[begin + i] * x[begin + i];
      const double scale = 1 / std::sqrt(squares / static_cast<double>(c) + config_.rms_norm_eps);
      for (size_t i = 0; i < c; ++i) result[begin + i] = x[begin + i] * scale * weight[i];
    }
    return result;
  }

  /// RoPE of x [B, N, X, D]: rotates dimension i with dimension i + D/2.
  void rotate(Values& x, int64_t heads) const {
    const int64_t d = config_.head_dim();
    for (int64_t row = 0; row < batch_ * length_ * heads; ++row) {
      const auto position = static_cast<double>(row / heads % length_);
      for (int64_t i = 0; i < d / 2; ++i) {
        const double angle =
            position * std::pow(config_.rope_theta, -2 * static_cast<double>(i) / static_cast<double>(d));
        double& a = x[static_cast<size_t>(row * d + i)];
        double& b = x[static_cast<size_t>(row * d + i + d / 2)];
        const double before = a;
        a = before * std::cos(angle) - b * std::sin(angle);
        b = b * std::cos(angle) + before * std::sin(angle);
      }
    }
  }

  Values attend(int64_t layer, const Values& q, const Values& k, const Values& v) const {
    const auto selection = selections.find(layer);
    const auto window = windows.find(layer);
    if (selection == selections.end()) return causal(q, k, v, window == windows.end() ? length_ : window->second);
    Values result = lighthouse(q, k, v, selection->second);
    if (window == windows.end()) return result;
    add(result, causal(q, k, v, window->second));
    for (double& value : result) value /= 2;
    return result;
  }

  /// One head: q, k, v [R, D]; a row sees itself and the `window` - 1 rows before it.
  static Values one_head(const Values& q, const Values& k, const Values& v, int64_t head_dim, int64_t window) {
    const auto d = static_cast<size_t>(head_dim);
    const size_t rows = q.size() / d;
    Values out(q.size());
    for (size_t i = 0; i < rows; ++i) {
      const auto w = static_cast<size_t>(window);
      const size_t first = i + 1 > w ? i + 1 - w : 0;
      Values weight(i + 1);
      double sum = 0;
      for (size_t j = first; j <= i; ++j) {
        double score = 0;
        for (size_t x = 0; x < d; ++x) score += q[i * d + x] * k[j * d + x];
        sum += weight[j] = std::exp(score / std::sqrt(static_cast<double>(d)));
      }
      for (size_t j = first; j <= i; ++j) {
        for (size_t x = 0; x < d; ++x) out[i * d + x] += weight[j] / sum * v[j * d + x];
      }
    }
    return out;
  }

  /// Head `head` of sequence b of x [B, N, X, D], as [N, D].
  Values head_of(const Values& x, int64_t b, int64_t head, int64_t heads) const {
    const int64_t d = config_.head_dim();
    Values result;
    for (int64_t n = 0; n < length_; ++n) {
      const auto begin = x.begin() + ((b * length_ + n) * heads + head) * d;
      result.insert(result.end(), begin, begin + d);
    }
    return result;
  }

  /// Calls attend(q, k, v, batch, key/value head) -> [N, D] for every head.
  template <typename Attend>
  Values every_head(const Values& q, const Values& k, const Values& v, const Attend& attend) const {
    const int64_t h = config_.num_attention_heads;
    const int64_t g = config_.num_key_value_heads;
    const int64_t d = config_.head_dim();
    Values out(q.size());
    for (int64_t b = 0; b < batch_; ++b) {
      for (int64_t head = 0; head < h; ++head) {
        const int64_t kv = head / (h / g);
        const Values rows = attend(head_of(q, b, head, h), head_of(k, b, kv, g), head_of(v, b, kv, g), b, kv);
        for (int64_t n = 0; n < length_; ++n) {
          for (int64_t x = 0; x < d; ++x) {
            out[static_cast<size_t>(((b * length_ + n) * h + head) * d + x)] = rows[static_cast<size_t>(n * d + x)];
          }
        }
      }
    }
    return out;
  }

  Values causal(const Values& q, const Values& k, const Values& v, int64_t window) const {
    return every_head(q, k, v, [&](const Values& a, const Values& b, const Values& c, int64_t, int64_t) {
      return one_head(a, b, c, config_.head_dim(), window);
    });
  }

  Values lighthouse(const Values& q, const Values& k, const Values& v, const ReferenceSelection& selection) const {
    const int64_t s = selection.shape.gathered();
    return every_head(q, k, v, [&](const Values& a, const Values& b, const Values& c, int64_t sequence, int64_t kv) {
      const auto first = selection.entries.begin() + (sequence * config_.num_key_value_heads + kv) * s;
      std::vector<std::pair<int64_t, int64_t>> spans;  // first token, tokens
      for (auto entry = first; entry != first + s; ++entry) spans.push_back(span_of(*entry, selection.shape));
      const Values rows = one_head(mean(a, spans), mean(b, spans), mean(c, spans), config_.head_dim(), s);
      return scatter(rows, spans);
    });
  }

  /// The tokens that an entry covers.
  static std::pair<int64_t, int64_t> span_of(int64_t entry, const LighthouseShape& shape) {
    int64_t tokens = 1;
    while (entry >= shape.sequence_length / tokens) {
      entry -= shape.sequence_length / tokens;
      tokens *= shape.pooling_factor;
    }
    return {entry * tokens, tokens};
  }

  Values mean(const Values& x, const std::vector<std::pair<int64_t, int64_t>>& spans) const {
    const int64_t d = config_.head_dim();
    Values result;
    for (const auto& [begin, tokens] : spans) {
      for (int64_t i = 0; i < d; ++i) {
        double sum = 0;
        for (int64_t t = begin; t < begin + tokens; ++t) sum += x[static_cast<size_t>(t * d + i)];
        result.push_back(sum / static_cast<double>(tokens));
      }
    }
    return result;
  }

  Values scatter(const Values& rows, const std::vector<std::pair<int64_t, int64_t>>& spans) const {
    const int64_t d = config_.head_dim();
    Values out(static_cast<size_t>(length_ * d));
    for (size_t m = 0; m < spans.size(); ++m) {
      const auto [begin, tokens] = spans[m];
      for (int64_t t = begin + tokens - 1; t <= begin + 2 * tokens - 2 && t < length_; ++t) {
        for (int64_t i = 0; i < d; ++i) {
          out[static_cast<size_t>(t * d + i)] += rows[m * static_cast<size_t>(d) + static_cast<size_t>(i)];
        }
      }
    }
    return out;
  }

  ModelConfig config_;
  int64_t batch_;
  int64_t length_;
};

}  // namespace lighthouse
