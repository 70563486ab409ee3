#include "checkpoint_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <map>
#include <optional>

#include "lighthouse/core/copy_elements.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

/// Where a parameter lies in the flat vector.
struct ParameterPlace {
  std::string name;
  Shape shape;
  int64_t begin = 0;
  int64_t end = 0;
};

std::vector<ParameterPlace> places_of(const ModelConfig& model) {
  std::vector<ParameterPlace> places;
  for (const HuggingFaceTensor& tensor : hugging_face_tensors(model)) {
    places.push_back({tensor.name, tensor.shape, tensor.begin, tensor.begin + tensor.shape.numel()});
  }
  return places;
}

/// What a parameter and a held range have in common.
struct Overlap {
  int64_t begin;  // in the flat vector
  int64_t end;
  int64_t at;  // in the shard
  bool empty() const { return begin >= end; }
};

/// Places of the flat vector that were written, each once.
class Covered {
 public:
  /// Returns whether none of them was there before.
  bool add(int64_t begin, int64_t end) {
    if (begin == end) return true;
    const auto after = end_of_.lower_bound(begin);
    if (after != end_of_.end() && after->first < end) return false;
    if (after != end_of_.begin() && std::prev(after)->second > begin) return false;
    end_of_[begin] = end;
    count_ += end - begin;
    return true;
  }
  int64_t count() const { return count_; }

 private:
  std::map<int64_t, int64_t> end_of_;  // of each stretch, by its begin
  int64_t count_ = 0;
};

Overlap overlap_of(const ParameterPlace& place, const ShardRange& range) {
  const int64_t begin = std::max(place.begin, range.begin);
  return {begin, std::min(place.end, range.end), range.at + begin - range.begin};
}

struct Stretch {
  std::string name;  // without what follows "@"
  int64_t first = 0;
  bool whole = true;
};

std::optional<Stretch> stretch_of(const std::string& tensor) {
  const size_t mark = tensor.rfind('@');
  if (mark == std::string::npos) return Stretch{tensor, 0, true};
  Stretch stretch{tensor.substr(0, mark), 0, false};
  const char* end = tensor.data() + tensor.size();
  const auto [stopped, error] = std::from_chars(tensor.data() + mark + 1, end, stretch.first);
  if (error != std::errc() || stopped != end || stretch.first < 0) return std::nullopt;
  return stretch;
}

/// Reads one of the two moments.
class MomentReader {
 public:
  MomentReader(std::string prefix, const Tensor& to, const OptimizerShard& shard, const ModelConfig& model)
      : prefix_(std::move(prefix)), to_(to), shard_(shard) {
    for (const ParameterPlace& place : places_of(model)) {
      names_.push_back(place.name);
      places_[prefix_ + place.name] = {place, {}};
    }
  }

  void take(const std::filesystem::path& file, const std::string& name, const Tensor& tensor) {
    const std::optional<Stretch> stretch = stretch_of(name);
    const auto found = stretch ? places_.find(stretch->name) : places_.end();
    if (found == places_.end()) return;
    const ParameterPlace& place = found->second.place;
    const bool fits = stretch->whole ? tensor.shape() == place.shape
                                     : tensor.rank() == 1 && stretch->first <= place.end - place.begin - tensor.numel();
    const bool number = tensor.dtype() == DType::kFloat32 || tensor.dtype() == DType::kBFloat16;
    if (!fits || !number) {
      throw InputError(fmt::format("{}: {} is {} {}, which does not fit the model: there it has {}", file.string(),
                                   name, name_of(tensor.dtype()), to_string(tensor.shape()), to_string(place.shape)));
    }
    const int64_t begin = place.begin + stretch->first;
    if (!found->second.read.add(begin, begin + tensor.numel())) {
      throw InputError(fmt::format("{}: {} holds elements that another stretch of {} holds too", file.string(), name,
                                   stretch->name));
    }
    const Tensor elements = tensor.view({tensor.numel()});
    const ParameterPlace here{"", {}, begin, begin + tensor.numel()};
    for (const ShardRange& range : shard_.ranges) {
      const Overlap common = overlap_of(here, range);
      if (common.empty()) continue;
      copy_elements(to_.slice(0, common.at, common.at + common.end - common.begin),
                    elements.slice(0, common.begin - begin, common.end - begin));
    }
  }

  /// Throws InputError unless all elements were read.
  void check(const std::string& where) const {
    for (const std::string& name : names_) {
      const Entry& entry = places_.at(prefix_ + name);
      const int64_t all = entry.place.end - entry.place.begin;
      if (entry.read.count() == all) continue;
      throw InputError(fmt::format("{} does not hold all of {}{}: {} elements of {}", where, prefix_, name,
                                   entry.read.count(), all));
    }
  }

 private:
  struct Entry {
    ParameterPlace place;
    Covered read;
  };
  std::string prefix_;
  Tensor to_;
  const OptimizerShard& shard_;
  std::vector<std::string> names_;
  std::map<std::string, Entry> places_;
};

void add_moments(std::vector<NamedTensor>& tensors, const std::string& prefix, const Tensor& flat,
                 const OptimizerShard& shard, const ModelConfig& model) {
  for (const ParameterPlace& place : places_of(model)) {
    for (const ShardRange& range : shard.ranges) {
      const Overlap common = overlap_of(place, range);
      if (common.empty()) continue;
      const Tensor held = flat.slice(0, common.at, common.at + common.end - common.begin);
      const bool whole = common.begin == place.begin && common.end == place.end;
      if (whole) {
        tensors.push_back({prefix + place.name, held.view(place.shape)});
      } else {
        tensors.push_back({fmt::format("{}{}@{}", prefix, place.name, common.begin - place.begin), held});
      }
    }
  }
}

}  // namespace

std::vector<NamedTensor> model_tensors(const Parameters& weights, const ModelConfig& model) {
  std::vector<NamedTensor> tensors;
  for (auto& [name, tensor] : hugging_face_views(weights, model)) tensors.push_back({name, tensor});
  return tensors;
}

std::vector<NamedTensor> moment_tensors(const Moments& moments, const ModelConfig& model) {
  std::vector<NamedTensor> tensors;
  add_moments(tensors, "exp_avg.", moments.exp_avg, moments.shard, model);
  add_moments(tensors, "exp_avg_sq.", moments.exp_avg_sq, moments.shard, model);
  return tensors;
}

void read_moments(const std::vector<std::filesystem::path>& files, const Moments& moments, const ModelConfig& model) {
  MomentReader first("exp_avg.", moments.exp_avg, moments.shard, model);
  MomentReader second("exp_avg_sq.", moments.exp_avg_sq, moments.shard, model);
  for (const std::filesystem::path& path : files) {
    const SafetensorsFile file(path);
    for (const auto& [name, tensor] : file.tensors()) {
      first.take(path, name, tensor);
      second.take(path, name, tensor);
    }
  }
  const std::string where = files.size() == 1 ? files.front().string() : files.front().parent_path().string();
  first.check(where);
  second.check(where);
}

}  // namespace lighthouse
