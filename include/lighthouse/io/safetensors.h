// The safetensors format: an 8-byte header length, a JSON header, the tensors' bytes, all little-endian.
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

/// A name and a contiguous host tensor.
struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// A tensor's entry in the header.
struct TensorSpec {
  std::string name;
  Shape shape;
  DType dtype = DType::kFloat32;
};

/// Writes a file in pieces, for tensors that together exceed memory. The file appears whole or not at all. Throws as
/// write_safetensors does.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors,
                    const std::map<std::string, std::string>& metadata = {});
  /// Appends bytes of the tensors, which follow one another in the order of the header.
  void write(std::span<const std::byte> bytes);
  /// Finishes the file. Throws std::logic_error if the number of bytes written is not the size of the tensors.
  void commit();

 private:
  AtomicFile file_;
  int64_t size_ = 0;  // of the whole file
};

/// Writes the tensors in the given order to a file that appears whole or not at all; `metadata` becomes the header's
/// "__metadata__". Throws InputError for AtomicFile's reasons and for a name or value that is not UTF-8, and
/// std::logic_error for a duplicate name and for a tensor that is not contiguous host memory.
void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// A memory-mapped safetensors file. The constructor checks the whole header: its length, its JSON, duplicate names,
/// dtypes, shapes, and that the offsets match the shapes, lie inside the file and cover its data without gap or
/// overlap. Whatever bytes a file holds, the worst outcome is an InputError that names the file and the fault. Threads
/// may read from one object at the same time.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Sorted by name. The constructor refuses dtypes that this program does not use (I16, BOOL, ...).
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  bool has(const std::string& name) const { return tensors_.count(name) != 0; }
  /// A read-only view, valid as long as this object. Throws InputError with the file's and the tensor's name if the
  /// tensor is missing.
  const Tensor& at(const std::string& name) const;
  /// The same; also throws InputError if the tensor has another shape or dtype.
  const Tensor& at(const std::string& name, const Shape& shape, DType dtype) const;
  /// The same for a weight, which may have any dtype for which is_weight_type() holds.
  const Tensor& weight_at(const std::string& name, const Shape& shape) const;

 private:
  MappedFile file_;
  std::vector<std::vector<std::byte>> copies_;  // copies of tensors that are misaligned in the file
  std::map<std::string, std::string> metadata_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace lighthouse
