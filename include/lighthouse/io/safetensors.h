// The safetensors format: an 8-byte length, a JSON header, the tensors' bytes. Little-endian, as this program.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "lighthouse/core/file.h"
#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// Names to contiguous host tensors, in the order in which they are written.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// Writes a file that appears whole or not at all. Throws InputError (AtomicFile's reasons).
/// `metadata` becomes the header's "__metadata__".
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// A safetensors file, mapped. Everything is checked at opening: header length, JSON, dtypes, shapes, offsets that lie
/// inside the file, fit their shapes and do not overlap. Throws InputError naming the file and what is wrong.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In alphabetical order. dtypes that this program has no use for (F16, I16, ...) are refused at opening.
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  /// A read-only view into the mapping. Throws InputError naming the file and the tensor if it is missing.
  const Tensor& at(const std::string& name) const;
  /// The same, and throws InputError unless shape and dtype are as expected.
  const Tensor& at(const std::string& name, const Shape& shape, DType dtype) const;

 private:
  MappedFile file_;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace lighthouse
