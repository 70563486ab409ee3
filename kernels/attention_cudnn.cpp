#include "attention_cudnn.h"

#include <cudnn.h>
#include <cudnn_frontend.h>
#include <fmt/format.h>

#include <cmath>
#include <unordered_map>

#include "cuda_backend.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"

/// The library in which cudnn-frontend looks up cuDNN's functions. Null: the program itself, which links cuDNN.
void* cudnn_frontend::cudnn_dlhandle = nullptr;

namespace lighthouse::cuda {
namespace {

namespace fe = cudnn_frontend;

// The names of the tensors in a graph.
enum Id : int64_t { kQ = 1, kK, kV, kOut, kLse, kDout, kDq, kDk, kDv, kLengths, kAtFused, kAtQueries, kAtKeys, kAtLse };

void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS) throw RunError(fmt::format("{} failed: {}", call, cudnnGetErrorString(status)));
}

std::string describe(const AttentionProblem& p) {
  return fmt::format("attention {} with {} heads of {} over {} key/value heads, {} queries, {} keys{}",
                     p.backward ? "backward" : "forward", p.heads, p.head_dim, p.kv_heads, p.queries, p.keys,
                     p.window > 0 ? fmt::format(", a window of {}", p.window) : "");
}

using TensorAttributes = std::shared_ptr<fe::graph::Tensor_attributes>;

}  // namespace

class CudnnAttention::Plan {
 public:
  Plan(const AttentionProblem& problem, cudnnHandle_t handle) : problem_(problem) {
    graph_.set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT);
    problem.backward ? add_backward() : add_forward();
    auto status = graph_.build(handle, {fe::HeurMode_t::A});
    if (status.is_bad()) {
      throw InputError(
          fmt::format("cuDNN {} has no {}: {}", cudnnGetVersion(), describe(problem), status.get_message()));
    }
    if (graph_.get_workspace_size(workspace_bytes_).is_bad()) throw RunError("cuDNN tells no workspace size");
  }

  void run(cudnnHandle_t handle, const AttentionAddresses& at, const Tensor& workspace) const {
    if (workspace.bytes() < workspace_bytes_) {
      throw InputError(fmt::format("cuDNN {} wants {} for {}, and {} were planned", cudnnGetVersion(),
                                   format_bytes(workspace_bytes_), describe(problem_),
                                   format_bytes(workspace.bytes())));
    }
    std::unordered_map<int64_t, void*> addresses = {{kQ, at.q}, {kK, at.k}, {kV, at.v}, {kOut, at.out}, {kLse, at.lse}};
    if (problem_.backward) addresses.insert({{kDout, at.dout}, {kDq, at.dq}, {kDk, at.dk}, {kDv, at.dv}});
    if (packed()) {
      addresses.insert(
          {{kLengths, at.lengths}, {kAtFused, at.at_fused}, {kAtQueries, at.at_queries}, {kAtLse, at.at_lse}});
      if (problem_.backward) addresses.insert({kAtKeys, at.at_keys});
    }
    auto status = graph_.execute(handle, addresses, workspace.raw());
    if (status.is_bad()) throw RunError(fmt::format("cuDNN's {} failed: {}", describe(problem_), status.get_message()));
  }

 private:
  bool packed() const { return problem_.packed_tokens > 0; }

  fe::graph::Tensor_attributes of_queries(Id id, const AttentionProblem::Strides& strides, const TensorAttributes& at) {
    return tensor(id, problem_.heads, problem_.queries, strides, at);
  }
  fe::graph::Tensor_attributes of_keys(Id id, const AttentionProblem::Strides& strides, const TensorAttributes& at) {
    return tensor(id, problem_.kv_heads, problem_.keys, strides, at);
  }
  /// `at`: the offsets of packed sequences, or null.
  fe::graph::Tensor_attributes tensor(Id id, int64_t heads, int64_t length, const AttentionProblem::Strides& strides,
                                      const TensorAttributes& at) const {
    return fe::graph::Tensor_attributes()
        .set_uid(id)
        .set_dim({problem_.batch, heads, length, problem_.head_dim})
        .set_stride({strides.batch, strides.head, strides.position, 1})
        .set_ragged_offset(at);
  }
  fe::graph::Tensor_attributes lse() const {
    const int64_t heads = problem_.heads, queries = problem_.queries;
    const std::vector<int64_t> strides{heads * queries, packed() ? 1 : queries, packed() ? heads : 1, 1};
    return fe::graph::Tensor_attributes()
        .set_uid(kLse)
        .set_dim({problem_.batch, heads, queries, 1})
        .set_stride(strides)
        .set_data_type(fe::DataType_t::FLOAT)
        .set_ragged_offset(at_lse_);
  }

  /// A list of `size` integers on the device; null if nothing is packed.
  TensorAttributes list(Id id, int64_t size, fe::DataType_t type) {
    if (!packed()) return nullptr;
    return graph_.tensor(fe::graph::Tensor_attributes()
                             .set_uid(id)
                             .set_dim({size, 1, 1, 1})
                             .set_stride({1, 1, 1, 1})
                             .set_data_type(type));
  }
  TensorAttributes places(Id id) { return list(id, problem_.batch + 1, fe::DataType_t::INT64); }

  template <typename Attributes>
  Attributes masked(Attributes attributes) {
    attributes.set_attn_scale(1.0f / std::sqrt(static_cast<float>(problem_.head_dim)));
    if (packed()) {
      const TensorAttributes lengths = list(kLengths, problem_.batch, fe::DataType_t::INT32);
      attributes.set_padding_mask(true).set_seq_len_q(lengths).set_seq_len_kv(lengths);
    }
    if (problem_.queries == problem_.keys) {
      attributes.set_causal_mask(true);
    } else {
      attributes.set_causal_mask_bottom_right(true);
    }
    // cuDNN keeps the scores with key + bound > query.
    if (problem_.window > 0) attributes.set_diagonal_band_left_bound(static_cast<int>(problem_.window));
    return attributes;
  }

  static void make_output(const TensorAttributes& made, fe::graph::Tensor_attributes wanted) {
    made->set_output(true).set_uid(wanted.get_uid()).set_dim(wanted.get_dim()).set_stride(wanted.get_stride());
    made->set_data_type(wanted.get_uid() == kLse ? fe::DataType_t::FLOAT : fe::DataType_t::BFLOAT16);
    made->set_ragged_offset(wanted.get_ragged_offset());
  }

  void add_forward() {
    const auto attributes = masked(fe::graph::SDPA_attributes().set_generate_stats(true));
    const TensorAttributes at_fused = places(kAtFused), at_queries = places(kAtQueries);
    at_lse_ = places(kAtLse);
    const auto [out, stats] = graph_.sdpa(graph_.tensor(of_queries(kQ, problem_.q, at_fused)),
                                          graph_.tensor(of_keys(kK, problem_.k, at_fused)),
                                          graph_.tensor(of_keys(kV, problem_.v, at_fused)), attributes);
    make_output(out, of_queries(kOut, problem_.out, at_queries));
    make_output(stats, lse());
  }

  void add_backward() {
    auto attributes = masked(fe::graph::SDPA_backward_attributes());
    attributes.set_deterministic_algorithm(problem_.deterministic);
    if (packed()) {  // sizes the workspace by the number of tokens, not by the longest sequence
      attributes.set_max_total_seq_len_q(problem_.packed_tokens).set_max_total_seq_len_kv(problem_.packed_tokens);
    }
    const TensorAttributes at_fused = places(kAtFused), at_queries = places(kAtQueries), at_keys = places(kAtKeys);
    at_lse_ = places(kAtLse);
    const auto [dq, dk, dv] = graph_.sdpa_backward(
        graph_.tensor(of_queries(kQ, problem_.q, at_queries)), graph_.tensor(of_keys(kK, problem_.k, at_fused)),
        graph_.tensor(of_keys(kV, problem_.v, at_fused)), graph_.tensor(of_queries(kOut, problem_.out, at_queries)),
        graph_.tensor(of_queries(kDout, problem_.dout, at_queries)), graph_.tensor(lse()), attributes);
    make_output(dq, of_queries(kDq, problem_.dq, at_queries));
    make_output(dk, of_keys(kDk, problem_.dk, at_keys));
    make_output(dv, of_keys(kDv, problem_.dv, at_keys));
  }

  TensorAttributes at_lse_;
  AttentionProblem problem_;
  mutable fe::graph::Graph graph_;  // execute() is not const, but changes nothing
  int64_t workspace_bytes_ = 0;
};

void CudnnAttention::DestroyHandle::operator()(cudnnContext* handle) const {
  cudnnDestroy(handle);
}

CudnnAttention::CudnnAttention() {
  cudnnHandle_t handle = nullptr;
  check(cudnnCreate(&handle), "cudnnCreate");
  handle_.reset(handle);
}

CudnnAttention::~CudnnAttention() = default;

void CudnnAttention::run(const Stream& stream, const AttentionProblem& problem, const AttentionAddresses& at,
                         const Tensor& workspace) {
  check(cudnnSetStream(handle_.get(), native(stream)), "cudnnSetStream");
  auto& plan = plans_[problem];
  if (!plan) plan = std::make_unique<Plan>(problem, handle_.get());
  plan->run(handle_.get(), at, workspace);
}

}  // namespace lighthouse::cuda
