#include "lighthouse/dist/process_group.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>

namespace lighthouse {
namespace {

class SingleProcessGroup final : public ProcessGroup {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::vector<std::string> gather(const std::string& mine, const std::string&, Channel) override { return {mine}; }
  void check(const std::string&, std::chrono::steady_clock::duration) override {}
  void abort(const std::string&, bool) override {}
  void finish() override {}
};

}  // namespace

std::unique_ptr<ProcessGroup> make_single_process_group() {
  return std::make_unique<SingleProcessGroup>();
}

std::string this_process() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return fmt::format("{}, process {}", host.data(), getpid());
}

}  // namespace lighthouse
