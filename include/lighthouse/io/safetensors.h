// The safetensors format: an 8-byte length, a JSON header, the tensors' bytes. Little-endian, as this program.
// https://github.com/huggingface/safetensors#format
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "lighthouse/core/file.h"
#include "lighthouse/core/tensor.h"

namespace lighthouse {

/// A contiguous host tensor under a name.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// What a header says of a tensor.
struct TensorSpec {
  std::string name;
  Shape shape;
  DType dtype = DType::kFloat32;
};

/// Writes a file whose bytes come one after another, for more tensors than fit into memory. It appears whole or not at
/// all. Throws as write_safetensors does.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors,
                    const std::map<std::string, std::string>& metadata = {});
  /// The next bytes of the tensors, in their order.
  void write(std::span<const std::byte> bytes);
  /// Throws std::logic_error if the bytes written are not those of the tensors.
  void commit();

 private:
  AtomicFile file_;
  int64_t size_ = 0;  // of the whole file
};

/// Writes the tensors in the given order to a file that appears whole or not at all; `metadata` becomes the header's
/// "__metadata__". Throws InputError (AtomicFile's reasons; a name or a value that is not UTF-8), and std::logic_error
/// if a name is given twice or a tensor is not contiguous host memory.
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// A safetensors file, mapped. Everything is checked at opening: header length, JSON, names given twice, dtypes,
/// shapes, offsets that fit the shapes, lie inside the file and cover its data without overlap or hole. Whatever bytes
/// a file holds, the worst that it can do is an InputError that names the file and what is wrong.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In alphabetical order. dtypes that this program has no use for (I16, BOOL, ...) are refused at opening.
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  /// A read-only view that lives as long as this object. Throws InputError naming the file and the tensor if it is
  /// missing.
  const Tensor& at(const std::string& name) const;
  /// The same, and throws InputError unless shape and dtype are as expected.
  const Tensor& at(const std::string& name, const Shape& shape, DType dtype) const;
  /// The same for a weight, which may have any type that weights are stored in.
  const Tensor& weight_at(const std::string& name, const Shape& shape) const;

 private:
  MappedFile file_;
  std::vector<std::vector<std::byte>> copies_;  // tensors that lie misaligned in the file
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace lighthouse
