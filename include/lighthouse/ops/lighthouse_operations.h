// The operations of Lighthouse Attention around the attention over gathered rows (docs/lighthouse-attention.md).
#pragma once

#include <cstdint>

#include "lighthouse/core/tensor.h"
#include "lighthouse/ops/lighthouse_shape.h"
#include "lighthouse/ops/operation.h"

namespace lighthouse {

/// The entries that Lighthouse Attention gathers, for each batch entry and key/value head. Query head h uses the
/// selection of its key/value head, h / (H / G).
struct LighthouseSelection {
  Tensor indices;  // int32 [B, G, S]: the numbers of the gathered entries, in causal order
  Tensor rows;     // int32 [B, G, E]: the row of each entry among the gathered ones, -1 where it is not gathered
};

/// Scoring, selecting, gathering and scattering. S = shape.gathered(), E = shape.all_entries(),
/// E' = shape.scored_entries(). backend.h has the rules that hold for all operations.
class LighthouseOperations : public virtual OperationSet {
 public:
  /// s_q, s_k [B, G, E']: the scores of the levels above 0 (entry (l, i) at offset(l) + i - N), from q [B, N, H, D] and
  /// k [B, N, G, D] before RoPE. A score is the largest L2 norm among the entry's tokens and, for s_q, among the query
  /// heads of the group.
  void lighthouse_norm_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k, const Tensor& q,
                              const Tensor& k, const LighthouseShape& shape);
  /// The same scores from the outputs of dilated attention; q, k, v are after RoPE; `dilation` divides N.
  void lighthouse_dilated_scores(const Stream& stream, const Tensor& s_q, const Tensor& s_k, const Tensor& scratch,
                                 const Tensor& q, const Tensor& k, const Tensor& v, int64_t dilation,
                                 const LighthouseShape& shape);
  virtual int64_t lighthouse_dilated_scores_scratch(const Shape& q, int64_t kv_heads, int64_t dilation,
                                                    const LighthouseShape& shape) const = 0;
  /// Selects entries by their scores and writes both tensors of `selection`. A NaN score ranks last.
  void lighthouse_select(const Stream& stream, const LighthouseSelection& selection, const Tensor& s_q,
                         const Tensor& s_k, const LighthouseShape& shape);
  /// Writes selection.rows from selection.indices.
  void lighthouse_invert(const Stream& stream, const LighthouseSelection& selection, const LighthouseShape& shape);
  /// gathered [B, S, H + 2 G, D]: the mean of the fused qkv [B, N, H + 2 G, D] over the tokens of each gathered entry.
  /// With cos and sin [N, D/2], q and k are rotated as by rope_forward before the mean; with empty tensors they are
  /// not.
  void lighthouse_gather(const Stream& stream, const Tensor& gathered, const Tensor& qkv,
                         const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                         const LighthouseShape& shape);
  /// dqkv [B, N, H + 2 G, D] from dgathered [B, S, H + 2 G, D]: the transpose of lighthouse_gather. If `window_dqkv` is
  /// given (shaped as dqkv, rotated as q and k were; it may be dqkv itself), dqkv is half the sum of both, rotated
  /// back.
  void lighthouse_gather_backward(const Stream& stream, const Tensor& dqkv, const Tensor& dgathered,
                                  const LighthouseSelection& selection, const Tensor& cos, const Tensor& sin,
                                  const LighthouseShape& shape, const Tensor& window_dqkv = {});
  /// out [B, N, H, D] from gathered [B, S, H, D]: writes each row to the positions that its entry may serve, which
  /// begin at the entry's last token (specification, section 5), and sums over the levels. If `window_out` is given (as
  /// out, contiguous; it may be out itself), out is half the sum of both.
  void lighthouse_scatter(const Stream& stream, const Tensor& out, const Tensor& gathered,
                          const LighthouseSelection& selection, const LighthouseShape& shape,
                          const Tensor& window_out = {});
  /// dgathered [B, S, H, D] from dout [B, N, H, D]: the transpose of lighthouse_scatter.
  void lighthouse_scatter_backward(const Stream& stream, const Tensor& dgathered, const Tensor& dout,
                                   const LighthouseSelection& selection, const LighthouseShape& shape);

 protected:
  ~LighthouseOperations() = default;

 private:
  // A device's version of each operation above. The arguments, in the same order, have been checked.
  virtual void do_lighthouse_norm_scores(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                         const LighthouseShape&) {
    not_implemented(__func__);
  }
  virtual void do_lighthouse_dilated_scores(const Stream&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                            const Tensor&, const Tensor&, int64_t, const LighthouseShape&) {
    not_implemented(__func__);
  }
  virtual void do_lighthouse_select(const Stream&, const LighthouseSelection&, const Tensor&, const Tensor&,
                                    const LighthouseShape&) {
    not_implemented(__func__);
  }
  virtual void do_lighthouse_invert(const Stream&, const LighthouseSelection&, const LighthouseShape&) {
    not_implemented(__func__);
  }
  virtual void do_lighthouse_gather(const Stream&, const Tensor&, const Tensor&, const LighthouseSelection&,
                                    const Tensor&, const Tensor&, const LighthouseShape&) {
    not_implemented(__func__);
  }
  virtual void do_lighthouse_gather_backward(const Stream&, const Tensor&, const Tensor&, const LighthouseSelection&,
                                             const Tensor&, const Tensor&, const LighthouseShape&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_lighthouse_scatter(const Stream&, const Tensor&, const Tensor&, const LighthouseSelection&,
                                     const LighthouseShape&, const Tensor&) {
    not_implemented(__func__);
  }
  virtual void do_lighthouse_scatter_backward(const Stream&, const Tensor&, const Tensor&, const LighthouseSelection&,
                                              const LighthouseShape&) {
    not_implemented(__func__);
  }
};

}  // namespace lighthouse
