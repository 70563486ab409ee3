#include "lighthouse/dist/ranks.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "lighthouse/core/checksum.h"
#include "lighthouse/core/text.h"

namespace lighthouse {
namespace {

/// "rank 2", "ranks 1, 2 and 3", "ranks 0, 1, ... and 992 others"
std::string names_of(const std::vector<size_t>& ranks) {
  constexpr size_t kShown = 8;
  if (ranks.size() == 1) return fmt::format("rank {}", ranks.front());
  std::vector<std::string> numbers;
  for (size_t i = 0; i < std::min(kShown, ranks.size() - 1); ++i) numbers.push_back(std::to_string(ranks[i]));
  const bool all = ranks.size() - 1 <= kShown;
  return fmt::format("ranks {} and {}", join(numbers, ", "),
                     all ? std::to_string(ranks.back()) : fmt::format("{} others", ranks.size() - kShown));
}

/// "rank 1: a; ranks 2 and 3: b"
std::string list_by_rank(const std::map<std::string, std::vector<size_t>>& texts) {
  std::vector<std::string> lines;
  lines.reserve(texts.size());
  for (const auto& [text, ranks] : texts) lines.push_back(fmt::format("{}: {}", names_of(ranks), text));
  return join(lines, "; ");
}

}  // namespace

Ranks make_ranks(const Mesh& mesh, std::shared_ptr<ProcessGroup> group, const std::shared_ptr<Communicator>& world) {
  Ranks ranks{mesh, std::move(group), world, world, nullptr};
  if (mesh.context_size() == 1) return ranks;
  ranks.context = world->split(mesh.data_rank(), mesh.context_rank());
  ranks.data = world->split(mesh.context_rank(), mesh.data_rank());
  return ranks;
}

std::vector<std::string> on_all_ranks(ProcessGroup& group, const std::string& what,
                                      const std::function<std::string()>& part, Channel channel) {
  if (group.size() == 1) return {part()};
  std::string mine;
  try {
    mine = fmt::format("+{}", part());
  } catch (const std::filesystem::filesystem_error& error) {
    mine = fmt::format("-{}", error.what());
  } catch (const InputError& error) {
    mine = fmt::format("-{}", error.what());
  }
  std::vector<std::string> all = group.gather(mine, what, channel);
  std::map<std::string, std::vector<size_t>> wrong;
  for (size_t rank = 0; rank < all.size(); ++rank) {
    const bool failed = all[rank].front() == '-';
    all[rank].erase(0, 1);
    if (failed) wrong[all[rank]].push_back(rank);
  }
  if (wrong.empty()) return all;
  const bool everywhere = wrong.size() == 1 && wrong.begin()->second.size() == all.size();
  throw AllRanksInputError(everywhere ? wrong.begin()->first : list_by_rank(wrong));
}

void check_ranks_agree(ProcessGroup& group, const std::string& text, const std::string& subject,
                       const std::function<std::string(const std::string&, const std::string&)>& differ) {
  if (group.size() == 1) return;
  // Checksums first, as texts may be long and ranks many.
  const std::string checksum = checksum_of(text);
  bool same = true;
  for (const std::string& other : group.gather(checksum, subject)) same &= other == checksum;
  const std::vector<std::string> verdicts = group.gather(same ? "" : "differs", subject);
  if (std::all_of(verdicts.begin(), verdicts.end(), [](const std::string& verdict) { return verdict.empty(); })) return;
  const std::vector<std::string> texts = group.gather(text, subject);
  std::map<std::string, std::vector<size_t>> differences;
  for (size_t rank = 1; rank < texts.size(); ++rank) {
    if (texts[rank] != texts[0]) differences[differ(texts[0], texts[rank])].push_back(rank);
  }
  throw AllRanksInputError(
      fmt::format("the ranks disagree on the {}; compared with rank 0, {}", subject, list_by_rank(differences)));
}

}  // namespace lighthouse
