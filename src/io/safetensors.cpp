#include "lighthouse/io/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <stdexcept>
#include <utility>

#include "lighthouse/core/error.h"
#include "lighthouse/core/text.h"
#include "lighthouse/core/units.h"

namespace lighthouse {
namespace {

static_assert(std::endian::native == std::endian::little,
              "safetensors files are little-endian and mapped without conversion");

using Json = nlohmann::json;  // ordered_json has linear look-up, which takes hours in the largest header

constexpr std::string_view kMetadata = "__metadata__";
constexpr uint64_t kLargestHeader = 100'000'000;  // as in the reference implementation
constexpr std::array<std::pair<const char*, DType>, 7> kDTypes{{{"F32", DType::kFloat32},
                                                                {"F64", DType::kFloat64},
                                                                {"BF16", DType::kBFloat16},
                                                                {"F16", DType::kFloat16},
                                                                {"I32", DType::kInt32},
                                                                {"I64", DType::kInt64},
                                                                {"U8", DType::kUInt8}}};

std::string code_of(DType dtype) {
  for (const auto& [code, known] : kDTypes) {
    if (known == dtype) return code;
  }
  throw std::logic_error("a dtype that safetensors does not know");
}

/// Shortens text from a file for a message.
std::string shown(const std::string& text) {
  constexpr size_t kLongest = 120;
  return text.size() <= kLongest ? text : text.substr(0, kLongest) + "...";
}

/// A tensor's entry in the header, with the offsets of its bytes.
struct Entry {
  std::string name;
  Shape shape;
  DType dtype = DType::kFloat32;
  uint64_t begin = 0;
  uint64_t end = 0;
};

/// Scans the header's JSON before it is parsed. Detects duplicate names, which the parsed object no longer shows, and
/// deep nesting, which would take a large multiple of the file's size in memory. A callback of parse() could do the
/// same in quadratic time only.
class HeaderCheck final : public nlohmann::json_sax<Json> {
 public:
  /// The fault found, or "".
  const std::string& fault() const { return fault_; }

  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return true; }
  bool start_object(std::size_t /*elements*/) override { return enter(); }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t /*elements*/) override { return enter(); }
  bool end_array() override { return leave(); }
  bool key(string_t& name) override {
    return keys_.back().insert(name).second || refuse(fmt::format("its header has the name {} twice", shown(name)));
  }
  bool parse_error(std::size_t /*place*/, const std::string& /*token*/, const Json::exception& error) override {
    return refuse("its header is not JSON: " + shown(error.what()));
  }

 private:
  bool enter() {
    constexpr size_t kDeepest = 3;  // the header, a tensor's entry, its shape
    if (keys_.size() == kDeepest) return refuse("its header's JSON is nested too deeply");
    keys_.emplace_back();
    return true;
  }
  bool leave() {
    keys_.pop_back();
    return true;
  }
  bool refuse(const std::string& fault) {
    fault_ = fault;
    return false;
  }

  std::vector<std::set<std::string>> keys_;  // keys of each open object, outermost first
  std::string fault_;
};

/// Reads and checks a header. Every error names the file.
class HeaderReader {
 public:
  explicit HeaderReader(const MappedFile& file) : file_(file) {
    const auto bytes = file.bytes();
    uint64_t length = 0;
    if (bytes.size() < sizeof(length)) {
      throw refuse(fmt::format("it has {} bytes; the header's length alone takes 8", bytes.size()));
    }
    std::memcpy(&length, bytes.data(), sizeof(length));
    if (length > kLargestHeader || length > bytes.size() - sizeof(length)) {
      throw refuse(fmt::format("its first 8 bytes give a header of {} bytes; {} bytes follow", length,
                               bytes.size() - sizeof(length)));
    }
    header_ = {reinterpret_cast<const char*>(bytes.data()) + sizeof(length), length};
    data_ = bytes.subspan(sizeof(length) + length);
  }

  std::span<const std::byte> data() const { return data_; }

  /// The tensors in the order of their bytes.
  std::vector<Entry> read(std::map<std::string, std::string>& metadata) const {
    const Json header = parse();
    if (!header.is_object()) throw refuse("its header is not a JSON object");
    std::vector<Entry> entries;
    for (const auto& [name, value] : header.items()) {
      if (name == kMetadata) {
        read_metadata(value, metadata);
      } else {
        entries.push_back(read_entry(name, value));
      }
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    check_places(entries);
    return entries;
  }

 private:
  InputError refuse(const std::string& why) const {
    return InputError(fmt::format("{} is not a valid safetensors file: {}", file_.path().string(), why));
  }

  Json parse() const {
    HeaderCheck check;
    if (!Json::sax_parse(header_, &check)) throw refuse(check.fault());
    return Json::parse(header_);
  }

  void read_metadata(const Json& value, std::map<std::string, std::string>& metadata) const {
    if (!value.is_object()) throw refuse("its __metadata__ is not an object");
    for (const auto& [key, text] : value.items()) {
      if (!text.is_string()) throw refuse(fmt::format("its __metadata__ {} is not a string", shown(key)));
      metadata[key] = text.get<std::string>();
    }
  }

  Entry read_entry(const std::string& name, const Json& value) const {
    if (!value.is_object()) throw refuse(fmt::format("the entry of {} is not an object", shown(name)));
    for (const char* key : {"dtype", "shape", "data_offsets"}) {
      if (!value.contains(key)) throw refuse(fmt::format("{} has no {}", shown(name), key));
    }
    Entry entry{name, read_shape(name, value["shape"]), read_dtype(name, value["dtype"])};
    const Json& offsets = value["data_offsets"];
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
        !offsets[1].is_number_unsigned()) {
      throw refuse(
          fmt::format("the data_offsets of {} are {}; expected two byte offsets", shown(name), shown(offsets.dump())));
    }
    entry.begin = offsets[0].get<uint64_t>();
    entry.end = offsets[1].get<uint64_t>();
    if (entry.begin > entry.end || entry.end > data_.size()) {
      throw refuse(fmt::format("{} is at bytes {} to {} of {}; the file is truncated or its header damaged",
                               shown(name), entry.begin, entry.end, data_.size()));
    }
    const auto wanted = static_cast<uint64_t>(entry.shape.numel() * size_of(entry.dtype));
    if (entry.end - entry.begin != wanted) {
      throw refuse(fmt::format("{} of shape {} and type {} takes {} bytes; its data_offsets span {}", shown(name),
                               to_string(entry.shape), name_of(entry.dtype), wanted, entry.end - entry.begin));
    }
    return entry;
  }

  DType read_dtype(const std::string& name, const Json& value) const {
    std::vector<std::string> codes;
    for (const auto& [code, dtype] : kDTypes) {
      if (value.is_string() && value.get_ref<const std::string&>() == code) return dtype;
      codes.emplace_back(code);
    }
    throw refuse(
        fmt::format("{} has the dtype {}; this program reads {}", shown(name), shown(value.dump()), join(codes, ", ")));
  }

  Shape read_shape(const std::string& name, const Json& value) const {
    if (!value.is_array() || value.size() > Shape::kMaxRank) {
      throw refuse(fmt::format("the shape of {} is {}; expected a list of at most {} extents", shown(name),
                               shown(value.dump()), Shape::kMaxRank));
    }
    Shape shape;
    int64_t product = 8;  // bytes of the largest type
    for (const Json& extent : value) {
      const bool fits = extent.is_number_unsigned() && extent.get<uint64_t>() <= uint64_t{INT64_MAX};
      // Count an extent of 0 as 1: strides are products of the other extents and must not overflow either.
      if (!fits || __builtin_mul_overflow(product, std::max<int64_t>(extent.get<int64_t>(), 1), &product)) {
        throw refuse(
            fmt::format("the shape of {} is {}, which is not a valid shape", shown(name), shown(value.dump())));
      }
      shape.append(extent.get<int64_t>());
    }
    return shape;
  }

  /// `entries` must be sorted by offset.
  void check_places(const std::vector<Entry>& entries) const {
    uint64_t covered = 0;
    for (const Entry& entry : entries) {
      if (entry.begin < covered) throw refuse(fmt::format("{} overlaps another tensor", shown(entry.name)));
      if (entry.begin > covered) {
        throw refuse(fmt::format("bytes {} to {} of its data, before {}, do not belong to any tensor", covered,
                                 entry.begin, shown(entry.name)));
      }
      covered = entry.end;
    }
    if (covered != data_.size()) {
      throw refuse(fmt::format("the last {} bytes of its data do not belong to any tensor", data_.size() - covered));
    }
  }

  const MappedFile& file_;
  std::string_view header_;
  std::span<const std::byte> data_;
};

void check_names(const std::vector<TensorSpec>& tensors) {
  std::set<std::string_view> names{kMetadata};
  for (const TensorSpec& tensor : tensors) {
    if (!names.insert(tensor.name).second) throw std::logic_error(fmt::format("two tensors are named {}", tensor.name));
  }
}

void check_writable(const std::vector<NamedTensor>& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_contiguous() || tensor.device() != Device{} || (!tensor.defined() && tensor.numel() > 0)) {
      throw std::logic_error(fmt::format("{} is not contiguous host memory", name));
    }
  }
}

int64_t bytes_of(const TensorSpec& tensor) {
  return tensor.shape.numel() * size_of(tensor.dtype);
}

/// The header's length and JSON, padded with spaces so that the tensors start at a multiple of 8 bytes.
std::string make_header(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors,
                        const std::map<std::string, std::string>& metadata) {
  std::string text = "{";
  int64_t offset = 0;
  const auto add = [&](const std::string& name, const Json& value) {  // a Json object would sort the names
    if (text.size() > 1) text += ',';
    text += Json(name).dump() + ':' + value.dump();
  };
  try {
    if (!metadata.empty()) add(std::string(kMetadata), metadata);
    for (const TensorSpec& tensor : tensors) {
      Json shape = Json::array();
      for (int dim = 0; dim < tensor.shape.rank(); ++dim) shape.push_back(tensor.shape[dim]);
      const int64_t bytes = bytes_of(tensor);
      add(tensor.name,
          {{"dtype", code_of(tensor.dtype)}, {"shape", std::move(shape)}, {"data_offsets", {offset, offset + bytes}}});
      offset += bytes;
    }
  } catch (const Json::exception&) {
    throw InputError(
        fmt::format("cannot write {}: a tensor's name or a value of its metadata is not UTF-8", path.string()));
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kLargestHeader) throw InputError(fmt::format("cannot write {}: too many tensors", path.string()));
  const uint64_t length = text.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors,
                                     const std::map<std::string, std::string>& metadata)
    : file_(path) {
  check_names(tensors);
  const std::string header = make_header(path, tensors, metadata);
  file_.write(header);
  size_ = std::ssize(header);
  for (const TensorSpec& tensor : tensors) size_ += bytes_of(tensor);
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  file_.write(bytes);
}

void SafetensorsWriter::commit() {
  if (file_.size() != size_) throw std::logic_error("the number of bytes written is not the size of the tensors");
  file_.commit();
}

void write_safetensors(const std::filesystem::path& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  check_writable(tensors);
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const auto& [name, tensor] : tensors) specs.push_back({name, tensor.shape(), tensor.dtype()});
  SafetensorsWriter writer(path, specs, metadata);
  constexpr auto kPiece =
      static_cast<size_t>(kMebibyte);  // small tensors are gathered: copying is cheaper than a system call
  std::vector<std::byte> gathered;
  for (const auto& [name, tensor] : tensors) {
    const std::span bytes(static_cast<const std::byte*>(tensor.raw()), static_cast<size_t>(tensor.bytes()));
    if (gathered.size() + bytes.size() > kPiece) {
      writer.write(gathered);
      gathered.clear();
    }
    if (bytes.size() > kPiece) {
      writer.write(bytes);
    } else {
      gathered.insert(gathered.end(), bytes.begin(), bytes.end());
    }
  }
  writer.write(gathered);
  writer.commit();
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path) : file_(path) {
  const HeaderReader reader(file_);
  for (const Entry& entry : reader.read(metadata_)) {
    const auto bytes = reader.data().subspan(entry.begin, entry.end - entry.begin);
    const std::byte* address = bytes.data();
    // Other writers may neither pad the header nor sort tensors by element size.
    if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(size_of(entry.dtype)) != 0) {
      copies_.emplace_back(bytes.begin(), bytes.end());
      address = copies_.back().data();
    }
    tensors_[entry.name] = {const_cast<std::byte*>(address), entry.shape, entry.dtype};
  }
}

const Tensor& SafetensorsFile::at(const std::string& name) const {
  const auto it = tensors_.find(name);
  if (it != tensors_.end()) return it->second;
  std::vector<std::string> names;
  for (const auto& [known, tensor] : tensors_) names.push_back(known);
  const std::string nearest = nearest_name(name, names);
  throw InputError(fmt::format("{} has no tensor {}{}", file_.path().string(), name,
                               nearest.empty() ? "" : fmt::format("; it has {}", nearest)));
}

const Tensor& SafetensorsFile::weight_at(const std::string& name, const Shape& shape) const {
  const DType stored = at(name).dtype();
  return at(name, shape, is_weight_type(stored) ? stored : DType::kFloat32);
}

const Tensor& SafetensorsFile::at(const std::string& name, const Shape& shape, DType dtype) const {
  const Tensor& tensor = at(name);
  if (tensor.shape() == shape && tensor.dtype() == dtype) return tensor;
  throw InputError(fmt::format("{}: {} is {} {}; expected {} {}", file_.path().string(), name, name_of(tensor.dtype()),
                               to_string(tensor.shape()), name_of(dtype), to_string(shape)));
}

}  // namespace lighthouse
