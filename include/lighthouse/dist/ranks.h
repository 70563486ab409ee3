// One rank's view of a run of many.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/dist/mesh.h"
#include "lighthouse/dist/process_group.h"

namespace lighthouse {

struct Ranks {
  Mesh mesh;
  std::shared_ptr<ProcessGroup> group = make_single_process_group();
  std::shared_ptr<Communicator> communicator;  // none: a run of one process that sums nothing

  bool alone() const { return group->size() == 1; }
  bool is_rank0() const { return group->is_rank0(); }
};

/// An InputError that all ranks throw together.
class AllRanksInputError : public InputError {
 public:
  using InputError::InputError;
};

/// Does `part` on each rank and returns what each made. If it throws InputError on one of them, all throw
/// AllRanksInputError, saying which ranks and why; alone, what was thrown.
std::vector<std::string> on_all_ranks(ProcessGroup& group, const std::string& what,
                                      const std::function<std::string()>& part, Channel channel = Channel::kRun);

/// Throws AllRanksInputError unless all ranks bring the same: `differ` says for two texts what differs, `subject` what
/// they are.
void check_ranks_agree(ProcessGroup& group, const std::string& mine, const std::string& subject,
                       const std::function<std::string(const std::string& of_rank0, const std::string& other)>& differ);

}  // namespace lighthouse
