// One rank's view of a run of many.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/dist/communicator.h"
#include "lighthouse/dist/group.h"
#include "lighthouse/dist/mesh.h"

namespace lighthouse {

struct Ranks {
  Mesh mesh;
  std::shared_ptr<Group> group = make_group_of_one();
  std::shared_ptr<Communicator> communicator;  // none: a run of one process that sums nothing

  bool alone() const { return group->size() == 1; }
  bool leads() const { return group->leads(); }
};

/// An InputError that all ranks throw together.
class AgreedError : public InputError {
 public:
  using InputError::InputError;
};

/// Does `part` on each rank and returns what each made. If it throws InputError on one of them, all throw AgreedError,
/// saying which ranks and why; alone, what was thrown.
std::vector<std::string> together(Group& group, const std::string& what, const std::function<std::string()>& part,
                                  Channel channel = Channel::kRun);

/// Throws AgreedError unless all ranks bring the same: `differ` says for two texts what differs, `subject` what they
/// are.
void check_same(Group& group, const std::string& mine, const std::string& subject,
                const std::function<std::string(const std::string& of_leader, const std::string& other)>& differ);

}  // namespace lighthouse
