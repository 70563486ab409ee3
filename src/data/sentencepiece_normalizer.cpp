#include "sentencepiece_normalizer.h"

#include <cstdint>
#include <optional>

namespace lighthouse {
namespace {

// Field numbers of sentencepiece_model.proto.
constexpr uint64_t kTrainerSpec = 2;     // of ModelProto
constexpr uint64_t kModelType = 3;       // of TrainerSpec
constexpr uint64_t kBpe = 2;             // default: unigram, 1
constexpr uint64_t kNormalizerSpec = 3;  // of ModelProto
constexpr uint64_t kCharsmap = 2;        // of NormalizerSpec, precompiled_charsmap
constexpr uint64_t kRemoveSpaces = 4;    // remove_extra_whitespaces, default true
constexpr uint64_t kEscapeSpaces = 5;    // escape_whitespaces, default true

/// A field of a protocol buffer: a number, or bytes.
struct Field {
  uint64_t number = 0;
  uint64_t value = 0;
  std::string_view bytes;
};

/// Iterates over the fields of a serialized message (protobuf.dev/programming-guides/encoding).
class Fields {
 public:
  explicit Fields(std::string_view message) : rest_(message) {}

  /// The next field, or nullopt at the end and where the message is damaged.
  std::optional<Field> next() {
    uint64_t tag = 0;
    if (rest_.empty() || !varint(tag)) return std::nullopt;
    Field field{tag >> 3, 0, {}};
    switch (tag & 7) {
      case 0:
        return varint(field.value) ? std::optional(field) : std::nullopt;
      case 1:
        return take(8, field) ? std::optional(field) : std::nullopt;
      case 2:
        return varint(field.value) && take(field.value, field) ? std::optional(field) : std::nullopt;
      case 5:
        return take(4, field) ? std::optional(field) : std::nullopt;
      default:
        return std::nullopt;
    }
  }
  bool at_end() const { return rest_.empty(); }

 private:
  bool varint(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool take(uint64_t size, Field& field) {
    if (size > rest_.size()) return false;
    field.bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }

  std::string_view rest_;
};

/// Calls visit(field) for each field of the model's submessage `number`. Returns whether the whole model could be
/// parsed.
template <typename Visit>
bool visit_part(std::string_view model, uint64_t number, const Visit& visit) {
  Fields fields(model);
  while (const auto field = fields.next()) {
    if (field->number != number) continue;
    Fields part(field->bytes);
    while (const auto inner = part.next()) visit(*inner);
  }
  return fields.at_end();
}

}  // namespace

bool is_bpe(std::string_view model) {
  bool bpe = false;
  const bool parsed = visit_part(model, kTrainerSpec, [&](const Field& field) {
    if (field.number == kModelType) bpe = field.value == kBpe;
  });
  return parsed && bpe;
}

bool keeps_text(std::string_view model) {
  bool has_charsmap = false;
  bool removes_spaces = true;
  bool escapes_spaces = true;
  const bool parsed = visit_part(model, kNormalizerSpec, [&](const Field& field) {
    if (field.number == kCharsmap) has_charsmap = !field.bytes.empty();
    if (field.number == kRemoveSpaces) removes_spaces = field.value != 0;
    if (field.number == kEscapeSpaces) escapes_spaces = field.value != 0;
  });
  return parsed && !has_charsmap && !removes_spaces && escapes_spaces;
}

}  // namespace lighthouse
