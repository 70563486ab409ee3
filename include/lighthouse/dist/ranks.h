// What a rank of a run knows of the others, and checks that all ranks make together.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/dist/process_group.h"

namespace lighthouse {

/// The ranks of a run, seen from one of them. A process without a launcher has no communicators.
struct Ranks {
  Mesh mesh;
  std::shared_ptr<ProcessGroup> group = make_single_process_group();
  std::shared_ptr<Communicator> world;    // all ranks
  std::shared_ptr<Communicator> data;     // the ranks with this rank's mesh.context_rank(), by data_rank()
  std::shared_ptr<Communicator> context;  // the ranks with this rank's mesh.data_rank(), by context_rank()

  bool alone() const { return group->size() == 1; }
  bool is_rank0() const { return group->is_rank0(); }
};

/// Splits `world` along the mesh. All ranks call it. With a context dimension of 1, `data` is `world` itself and
/// `context` is null.
Ranks make_ranks(const Mesh& mesh, std::shared_ptr<ProcessGroup> group, const std::shared_ptr<Communicator>& world);

/// An InputError that all ranks throw together.
class AllRanksInputError : public InputError {
 public:
  using InputError::InputError;
};

/// Calls `part` on each rank and returns the results in the order of ranks. If it throws InputError on any rank, all
/// ranks throw AllRanksInputError, which names the ranks and their errors; a process without others throws the
/// InputError itself. All ranks call it. `what` names the call in a PeerError.
std::vector<std::string> on_all_ranks(ProcessGroup& group, const std::string& what,
                                      const std::function<std::string()>& part, Channel channel = Channel::kRun);

/// Throws AllRanksInputError on all ranks unless `text` is the same on all. `subject` names the text; `differ`
/// describes how another rank's text differs from rank 0's. All ranks call it.
void check_ranks_agree(ProcessGroup& group, const std::string& text, const std::string& subject,
                       const std::function<std::string(const std::string& of_rank0, const std::string& other)>& differ);

}  // namespace lighthouse
