#include "lighthouse/dist/group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>

namespace lighthouse {
namespace {

class GroupOfOne final : public Group {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::vector<std::string> gather(const std::string& mine, const std::string&, Channel) override { return {mine}; }
  void check(const std::string&, std::chrono::steady_clock::duration) override {}
  void give_up(const std::string&, bool) override {}
  void finish() override {}
};

}  // namespace

std::unique_ptr<Group> make_group_of_one() {
  return std::make_unique<GroupOfOne>();
}

std::string this_process() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return fmt::format("{}, process {}", host.data(), getpid());
}

}  // namespace lighthouse
