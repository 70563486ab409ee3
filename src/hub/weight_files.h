// The weights of a Hugging Face folder, in one safetensors file or in several with an index.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lighthouse/io/safetensors.h"
#include "lighthouse/model/config.h"

namespace lighthouse {

class WeightFiles {
 public:
  /// Of model.safetensors if it is there, else of what the index names. Throws InputError if files are missing or
  /// damaged, if one names a tensor that another has, or if files and index disagree.
  explicit WeightFiles(const std::filesystem::path& folder);

  /// The model's tensors in the order of hugging_face_views(), as views that live as long as this object. Throws
  /// InputError naming the tensors that are missing, too many, or of another shape or type than config.json says.
  std::vector<NamedTensor> tensors_of(const ModelConfig& model) const;

 private:
  void open(const std::string& file_name);
  void open_index(const std::filesystem::path& index);
  void check_extra(const ModelConfig& model, const std::vector<TensorSpec>& expected) const;

  std::filesystem::path folder_;
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, std::string> file_of_;  // of each tensor
};

/// The tensors of a model under Hugging Face's names, with their shapes, in float32.
std::vector<TensorSpec> tensor_specs(const ModelConfig& model);

}  // namespace lighthouse
