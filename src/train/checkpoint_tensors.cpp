#include "checkpoint_tensors.h"

#include <fmt/format.h>

#include <charconv>
#include <iterator>
#include <map>
#include <optional>

#include "lighthouse/core/copy_elements.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

/// A parameter under its Hugging Face name, and its place in the flat vector.
struct ParameterPlace {
  std::string name;
  Shape shape;
  int64_t begin = 0;
  int64_t end = 0;
  int64_t size() const { return end - begin; }
};

std::vector<ParameterPlace> places_of(const ModelConfig& model) {
  std::vector<ParameterPlace> places;
  for (const HuggingFaceTensor& tensor : hugging_face_tensors(model)) {
    places.push_back({tensor.name, tensor.shape, tensor.begin, tensor.begin + tensor.shape.numel()});
  }
  return places;
}

/// A tensor that holds [begin, end) of the flat vector and nothing else.
OptimizerShard shard_of_stretch(int64_t begin, int64_t end) {
  return {{{begin, end, 0}}, end - begin, false};
}

/// Which elements of a parameter were read.
class Coverage {
 public:
  /// Returns false, and adds nothing, if one of them was added before.
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

/// A tensor's name in a file: "exp_avg.NAME" or "exp_avg.NAME@4096".
struct StretchName {
  std::string parameter;  // with the prefix
  int64_t first = 0;
  bool whole = true;
};

std::optional<StretchName> parse_stretch(const std::string& tensor) {
  const size_t mark = tensor.rfind('@');
  if (mark == std::string::npos) return StretchName{tensor, 0, true};
  StretchName stretch{tensor.substr(0, mark), 0, false};
  const char* end = tensor.data() + tensor.size();
  const auto [stopped, error] = std::from_chars(tensor.data() + mark + 1, end, stretch.first);
  if (error != std::errc() || stopped != end || stretch.first < 0) return std::nullopt;
  return stretch;
}

/// Reads one state tensor from the files of a checkpoint.
class StateReader {
 public:
  StateReader(const StateTensor& to, const ModelConfig& model) : to_(to), prefix_(to.name + ".") {
    for (const ParameterPlace& place : places_of(model)) {
      // Other ranks check what this one does not hold.
      if (overlaps(shard_of_stretch(place.begin, place.end), to.shard).empty()) continue;
      names_.push_back(place.name);
      places_[prefix_ + place.name] = {place, {}};
    }
  }

  /// Copies what the shard holds of a file's tensor. Passes over tensors that it does not need.
  void read(const std::filesystem::path& file, const std::string& name, const Tensor& tensor) {
    const std::optional<StretchName> stretch = parse_stretch(name);
    const auto found = stretch ? places_.find(stretch->parameter) : places_.end();
    if (found == places_.end()) return;
    const ParameterPlace& place = found->second.place;
    check_fits(file, name, tensor, *stretch, place);
    const int64_t begin = place.begin + stretch->first;
    const int64_t end = begin + tensor.numel();
    if (!found->second.read.add(begin, end)) {
      throw InputError(fmt::format("{}: elements of {} are present twice: {} overlaps another stretch", file.string(),
                                   stretch->parameter, name));
    }
    const Tensor elements = tensor.view({tensor.numel()});
    for (const ShardOverlap& common : overlaps(shard_of_stretch(begin, end), to_.shard)) {
      copy_elements(to_.elements.slice(0, common.at_second, common.at_second + common.size()),
                    elements.slice(0, common.at_first, common.at_first + common.size()));
    }
  }

  /// Throws InputError unless all elements were read.
  void check_complete(const std::string& where) const {
    for (const std::string& name : names_) {
      const Entry& entry = places_.at(prefix_ + name);
      if (entry.read.count() == entry.place.size()) continue;
      throw InputError(fmt::format("{} does not hold all of {}{}: {} of {} elements", where, prefix_, name,
                                   entry.read.count(), entry.place.size()));
    }
  }

 private:
  struct Entry {
    ParameterPlace place;
    Coverage read;
  };

  static void check_fits(const std::filesystem::path& file, const std::string& name, const Tensor& tensor,
                         const StretchName& stretch, const ParameterPlace& place) {
    const bool fits = stretch.whole ? tensor.shape() == place.shape
                                    : tensor.rank() == 1 && stretch.first <= place.size() - tensor.numel();
    const bool number = tensor.dtype() == DType::kFloat32 || tensor.dtype() == DType::kBFloat16;
    if (fits && number) return;
    throw InputError(fmt::format("{}: {} is {} {} and does not fit the model, where the parameter is {}", file.string(),
                                 name, name_of(tensor.dtype()), to_string(tensor.shape()), to_string(place.shape)));
  }

  const StateTensor& to_;
  std::string prefix_;
  std::vector<std::string> names_;  // of the parameters that the shard holds some of, in the model's order
  std::map<std::string, Entry> places_;
};

}  // namespace

std::vector<NamedTensor> weight_tensors(const Parameters& weights, const ModelConfig& model) {
  std::vector<NamedTensor> tensors;
  for (auto& [name, tensor] : hugging_face_views(weights, model)) tensors.push_back({name, tensor});
  return tensors;
}

std::vector<NamedTensor> optimizer_tensors(const std::vector<StateTensor>& state, const ModelConfig& model) {
  std::vector<NamedTensor> tensors;
  for (const StateTensor& from : state) {
    for (const ParameterPlace& place : places_of(model)) {
      for (const ShardOverlap& common : overlaps(shard_of_stretch(place.begin, place.end), from.shard)) {
        const Tensor stretch = from.elements.slice(0, common.at_second, common.at_second + common.size());
        const std::string name = fmt::format("{}.{}", from.name, place.name);
        if (common.size() == place.size()) {
          tensors.push_back({name, stretch.view(place.shape)});
        } else {
          tensors.push_back({fmt::format("{}@{}", name, common.begin - place.begin), stretch});
        }
      }
    }
  }
  return tensors;
}

void read_optimizer_tensors(const std::vector<std::filesystem::path>& files, const std::vector<StateTensor>& state,
                            const ModelConfig& model) {
  std::vector<StateReader> readers;
  readers.reserve(state.size());
  for (const StateTensor& to : state) readers.emplace_back(to, model);
  for (const std::filesystem::path& path : files) {
    const SafetensorsFile file(path);
    for (const auto& [name, tensor] : file.tensors()) {
      for (StateReader& reader : readers) reader.read(path, name, tensor);
    }
  }
  const std::string where = files.size() == 1 ? files.front().string() : files.front().parent_path().string();
  for (const StateReader& reader : readers) reader.check_complete(where);
}

}  // namespace lighthouse
