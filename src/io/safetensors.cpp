#include "lighthouse/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"

namespace lighthouse {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<std::pair<const char*, DType>, 6> kDTypes{{{"F32", DType::kFloat32},
                                                                {"F64", DType::kFloat64},
                                                                {"BF16", DType::kBFloat16},
                                                                {"I32", DType::kInt32},
                                                                {"I64", DType::kInt64},
                                                                {"U8", DType::kUInt8}}};

std::string code_of(DType dtype) {
  for (const auto& [code, known] : kDTypes) {
    if (known == dtype) return code;
  }
  throw std::logic_error("a dtype that safetensors does not know");
}

/// Reads and checks a header. Every throw names the file.
class HeaderReader {
 public:
  explicit HeaderReader(const MappedFile& file) : file_(file) {}

  void read(std::map<std::string, std::string>& metadata, std::map<std::string, Tensor>& tensors) {
    const Json header = parse();
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") {
        read_metadata(entry, metadata);
      } else {
        tensors[name] = read_tensor(name, entry);
      }
    }
    check_overlaps();
  }

 private:
  InputError refuse(const std::string& why) const {
    return InputError(fmt::format("{} is not a sound safetensors file: {}", file_.path().string(), why));
  }

  Json parse() {
    constexpr uint64_t kLargestHeader = 100'000'000;  // as in the reference implementation
    const auto bytes = file_.bytes();
    uint64_t length = 0;
    if (bytes.size() < sizeof(length)) throw refuse(fmt::format("it has only {} bytes", bytes.size()));
    std::memcpy(&length, bytes.data(), sizeof(length));
    if (length > kLargestHeader || length > bytes.size() - sizeof(length)) {
      throw refuse(fmt::format("its header would take {} bytes", length));
    }
    data_ = bytes.subspan(sizeof(length) + length);
    const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof(length);
    std::vector<std::string> keys;
    bool twice = false;
    // A tensor named twice would be read once: refuse it while parsing.
    const auto watch = [&](int depth, Json::parse_event_t event, Json& parsed) {
      if (depth != 1 || event != Json::parse_event_t::key) return true;
      twice = twice || std::find(keys.begin(), keys.end(), parsed.get<std::string>()) != keys.end();
      keys.push_back(parsed.get<std::string>());
      return true;
    };
    Json header = Json::parse(text, text + length, watch, false);
    if (!header.is_object()) throw refuse("its header is not a JSON object");
    if (twice) throw refuse("its header names a tensor twice");
    return header;
  }

  void read_metadata(const Json& entry, std::map<std::string, std::string>& metadata) {
    if (!entry.is_object()) throw refuse("__metadata__ is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) throw refuse(fmt::format("__metadata__ {} is not a string", key));
      metadata[key] = value.get<std::string>();
    }
  }

  Tensor read_tensor(const std::string& name, const Json& entry) {
    if (!entry.is_object()) throw refuse(fmt::format("{} is not an object", name));
    const DType dtype = read_dtype(name, entry.value("dtype", Json()));
    const Shape shape = read_shape(name, entry.value("shape", Json()));
    const Json offsets = entry.value("data_offsets", Json());
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      throw refuse(fmt::format("{} has no two data_offsets", name));
    }
    const auto begin = offsets[0].get<uint64_t>();
    const auto end = offsets[1].get<uint64_t>();
    if (begin > end || end > data_.size()) {
      throw refuse(fmt::format("{} lies at {} to {} of {} bytes of data", name, begin, end, data_.size()));
    }
    const auto wanted = static_cast<uint64_t>(shape.numel()) * static_cast<uint64_t>(size_of(dtype));
    if (end - begin != wanted) {
      throw refuse(
          fmt::format("{} of shape {} takes {} bytes, and {} are given", name, to_string(shape), wanted, end - begin));
    }
    const std::byte* address = data_.data() + begin;
    if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(size_of(dtype)) != 0) {
      throw refuse(fmt::format("{} does not begin at a multiple of {} bytes", name, size_of(dtype)));
    }
    places_.push_back({begin, end});
    return {const_cast<std::byte*>(address), shape, dtype};
  }

  DType read_dtype(const std::string& name, const Json& value) const {
    std::vector<std::string> codes;
    for (const auto& [code, dtype] : kDTypes) {
      if (value == code) return dtype;
      codes.emplace_back(code);
    }
    throw refuse(fmt::format("{} is of type {}; this program reads {}", name, value.dump(), join(codes, ", ")));
  }

  Shape read_shape(const std::string& name, const Json& value) const {
    constexpr uint64_t kLargest = uint64_t{1} << 48;  // elements: no product overflows
    if (!value.is_array() || value.size() > Shape::kMaxRank) {
      throw refuse(fmt::format("{} has no shape of at most {} dimensions", name, Shape::kMaxRank));
    }
    Shape shape;
    uint64_t numel = 1;
    for (const Json& extent : value) {
      if (!extent.is_number_unsigned() || extent.get<uint64_t>() > kLargest) {
        throw refuse(fmt::format("{} has the extent {}", name, extent.dump()));
      }
      if (__builtin_mul_overflow(numel, extent.get<uint64_t>(), &numel) || numel > kLargest) {
        throw refuse(fmt::format("{} has too many elements", name));
      }
      shape.append(extent.get<int64_t>());
    }
    return shape;
  }

  void check_overlaps() {
    std::sort(places_.begin(), places_.end());
    for (size_t i = 1; i < places_.size(); ++i) {
      if (places_[i].first < places_[i - 1].second) throw refuse("two tensors share bytes");
    }
  }

  const MappedFile& file_;
  std::span<const std::byte> data_;
  std::vector<std::pair<uint64_t, uint64_t>> places_;
};

}  // namespace

void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    std::vector<int64_t> extents;
    for (int dim = 0; dim < tensor.rank(); ++dim) extents.push_back(tensor.size(dim));
    header[name] = {
        {"dtype", code_of(tensor.dtype())}, {"shape", extents}, {"data_offsets", {offset, offset + tensor.bytes()}}};
    offset += tensor.bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data begins at a multiple of 8
  const uint64_t length = text.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(text);
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_contiguous()) throw std::logic_error(name + " is not contiguous");
    file.write({static_cast<const std::byte*>(tensor.raw()), static_cast<size_t>(tensor.bytes())});
  }
  file.commit();
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  HeaderReader(file_).read(metadata_, tensors_);
}

const Tensor& SafetensorsFile::at(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it != tensors_.end()) return it->second;
  throw InputError(fmt::format("{} has no tensor {}", file_.path().string(), name));
}

const Tensor& SafetensorsFile::at(const std::string& name, const Shape& shape, DType dtype) const {
  const Tensor& tensor = at(name);
  if (tensor.shape() == shape && tensor.dtype() == dtype) return tensor;
  throw InputError(fmt::format("{}: {} is {} {}; expected {} {}", file_.path().string(), name, name_of(tensor.dtype()),
                               to_string(tensor.shape()), name_of(dtype), to_string(shape)));
}

}  // namespace lighthouse
