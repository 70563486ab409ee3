#include "golden_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <stdexcept>

#include "lighthouse/core/bfloat16.h"
#include "lighthouse/core/error.h"

namespace lighthouse::golden {
namespace {

/// Calls `visit` with the element offsets of both views, in index order.
void for_each_pair(const Tensor& a, const Tensor& b, const std::function<void(int64_t, int64_t)>& visit) {
  if (!(a.shape() == b.shape())) {
    throw InputError(fmt::format("shapes {} and {} differ", to_string(a.shape()), to_string(b.shape())));
  }
  std::array<int64_t, Shape::kMaxRank> index{};
  for (int64_t n = 0; n < a.numel(); ++n) {
    int64_t at_a = 0;
    int64_t at_b = 0;
    for (int dim = 0; dim < a.rank(); ++dim) {
      at_a += index[dim] * a.stride(dim);
      at_b += index[dim] * b.stride(dim);
    }
    visit(at_a, at_b);
    for (int dim = a.rank() - 1; dim >= 0 && ++index[dim] == a.size(dim); --dim) index[dim] = 0;
  }
}

}  // namespace

Json settings_of(const SafetensorsFile& file, const std::string& path) {
  const auto meta = file.metadata().find("meta");
  if (meta == file.metadata().end()) throw InputError(path + " has no metadata key \"meta\": not a golden file");
  Json json = Json::parse(meta->second, nullptr, false);
  if (!json.is_object()) throw InputError(path + ": the metadata key \"meta\" is not a JSON object");
  return json;
}

Scorer scorer_of(const Json& settings) {
  const std::string name = settings.at("scorer");
  for (const Scorer scorer : {Scorer::kNorm, Scorer::kDilated}) {
    if (name == name_of(scorer)) return scorer;
  }
  throw InputError("scorer is " + name + "; expected norm or dilated");
}

double relative_error(const Tensor& actual, const Tensor& reference) {
  const float* a = actual.data<float>();
  const float* r = reference.data<float>();
  double difference = 0;
  double norm = 0;
  for_each_pair(actual, reference, [&](int64_t at_a, int64_t at_r) {
    const double d = static_cast<double>(a[at_a]) - r[at_r];
    difference += d * d;
    norm += static_cast<double>(r[at_r]) * r[at_r];
  });
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

double worst_row_error(const Tensor& actual, const Tensor& reference) {
  const float* a = actual.data<float>();
  const float* r = reference.data<float>();
  const int64_t width = reference.size(reference.rank() - 1), rows = reference.numel() / width;
  std::vector<double> errors(static_cast<size_t>(rows)), norms(static_cast<size_t>(rows));
  int64_t element = 0;
  for_each_pair(actual, reference, [&](int64_t at_a, int64_t at_r) {
    const auto row = static_cast<size_t>(element++ / width);
    errors[row] += std::pow(static_cast<double>(a[at_a]) - r[at_r], 2);
    norms[row] += std::pow(static_cast<double>(r[at_r]), 2);
  });
  double mean = 0, worst = 0;
  for (const double norm : norms) mean += std::sqrt(norm) / static_cast<double>(rows);
  for (size_t row = 0; row < norms.size(); ++row) {
    const double error = std::sqrt(errors[row]) / std::max(std::sqrt(norms[row]), mean);
    worst = error <= worst ? worst : error;  // keeps a NaN
  }
  return worst;
}

void copy_elements(const Tensor& to, const Tensor& from) {
  float* t = to.data<float>();
  const float* f = from.data<float>();
  for_each_pair(to, from, [&](int64_t at_t, int64_t at_f) { t[at_t] = f[at_f]; });
}

void round_to_bfloat16(const Tensor& tensor) {
  float* values = tensor.data<float>();
  for_each_pair(tensor, tensor, [&](int64_t at, int64_t) { values[at] = static_cast<float>(to_bfloat16(values[at])); });
}

}  // namespace lighthouse::golden
