#include "lighthouse/data/text_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/units.h"
#include "lighthouse/data/json.h"

namespace lighthouse {
namespace {

using namespace std::string_view_literals;

constexpr int64_t kBytesRead = 64 * kKibibyte;  // from the start of a file

constexpr const char* kPrepareHf = "scripts/prepare_hf.py converts it to shards";
constexpr const char* kToParquet =
    "save it as Parquet (with pandas, pyarrow or datasets), which scripts/prepare_hf.py reads";
constexpr const char* kExtract = "extract the text first";

/// A format that is not text: its magic bytes at `offset`, and its file name suffixes.
struct Format {
  const char* name;
  std::string_view magic;  // "": none
  size_t offset;
  std::vector<std::string_view> suffixes;
  const char* advice;
};

const std::vector<Format>& formats() {
  static const std::vector<Format> kFormats{
      {"Parquet", "PAR1"sv, 0, {".parquet"}, kPrepareHf},
      {"JSON lines", ""sv, 0, {".jsonl", ".ndjson", ".jsonlines", ".json"}, kPrepareHf},
      {"compressed by gzip", "\x1F\x8B"sv, 0, {".gz", ".tgz"}, "unpack it first: zcat FILE > text.txt"},
      {"compressed by compress", "\x1F\x9D"sv, 0, {".z"}, "unpack it first: zcat FILE > text.txt"},
      {"compressed by zstd", "\x28\xB5\x2F\xFD"sv, 0, {".zst", ".zstd"}, "unpack it first: zstd -dc FILE > text.txt"},
      {"compressed by bzip2", "1AY&SY"sv, 4, {".bz2"}, "unpack it first: bzcat FILE > text.txt"},
      {"compressed by xz", "\xFD\x37\x7A\x58\x5A\x00"sv, 0, {".xz"}, "unpack it first: xzcat FILE > text.txt"},
      {"compressed by lzma", ""sv, 0, {".lzma"}, "unpack it first: xzcat FILE > text.txt"},
      {"compressed by lz4", "\x04\x22\x4D\x18"sv, 0, {".lz4"}, "unpack it first: lz4 -dc FILE > text.txt"},
      {"compressed by brotli", ""sv, 0, {".br"}, "unpack it first: brotli -dc FILE > text.txt"},
      {"a zip archive", "PK\x03\x04"sv, 0, {".zip", ".docx", ".xlsx", ".odt", ".epub"}, "unpack it first: unzip FILE"},
      {"an empty zip archive", "PK\x05\x06"sv, 0, {}, kExtract},
      {"a 7z archive", "7z\xBC\xAF\x27\x1C"sv, 0, {".7z"}, "unpack it first: 7z x FILE"},
      {"a rar archive", "Rar!\x1A\x07"sv, 0, {".rar"}, "unpack it first: unrar x FILE"},
      {"a tar archive", "ustar"sv, 257, {".tar"}, "unpack it first: tar -xf FILE"},
      {"an Arrow file", "ARROW1"sv, 0, {".arrow", ".feather", ".ipc"}, kToParquet},
      {"a Feather file", "FEA1"sv, 0, {}, kToParquet},
      {"an Arrow stream", "\xFF\xFF\xFF\xFF"sv, 0, {}, kToParquet},
      {"ORC", ""sv, 0, {".orc"}, kToParquet},
      {"Avro", "Obj\x01"sv, 0, {".avro"}, kToParquet},
      {"HDF5", "\x89HDF\r\n\x1A\n"sv, 0, {".h5", ".hdf5"}, kToParquet},
      {"an SQLite database", "SQLite format 3\x00"sv, 0, {".sqlite", ".sqlite3"}, kToParquet},
      {"TFRecord", ""sv, 0, {".tfrecord", ".tfrecords"}, kToParquet},
      {"PDF", "%PDF-"sv, 0, {".pdf"}, "extract the text first: pdftotext FILE text.txt"},
      {"an Office document", "\xD0\xCF\x11\xE0"sv, 0, {".doc", ".xls", ".ppt"}, kExtract},
      {"RTF", "{\\rtf"sv, 0, {".rtf"}, kExtract},
      {"a NumPy array", "\x93NUMPY"sv, 0, {".npy", ".npz"}, "write its tokens as a shard (docs/formats.md, Data)"},
      {"a pickle", ""sv, 0, {".pkl", ".pickle", ".pt", ".pth"}, kExtract},
      {"safetensors", ""sv, 0, {".safetensors"}, "`lighthouse import` reads models"},
      {"GGUF", ""sv, 0, {".gguf"}, kExtract},
      {"a program", "\x7F\x45LF"sv, 0, {}, kExtract},
      {"a PNG picture", "\x89PNG"sv, 0, {".png"}, kExtract},
      {"a JPEG picture", "\xFF\xD8\xFF"sv, 0, {".jpg", ".jpeg"}, kExtract},
      {"a token shard", "\x88\xD8\x34\x01"sv, 0, {}, "name it under data.train of a config"},
      {"a token shard", "\xA1\xD9\x34\x01"sv, 0, {}, "name it under data.train of a config"},
  };
  return kFormats;
}

InputError refuse(const std::filesystem::path& path, const std::string& what, const std::string& advice) {
  return InputError(fmt::format("{} is {}, not plain text; {}", path.string(), what, advice));
}

std::string beginning_of(const std::filesystem::path& path) {
  const InputFile file(path);
  std::string bytes(static_cast<size_t>(std::min(file.size(), kBytesRead)), '\0');
  file.read(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

/// Whether a line is a non-empty JSON object. A line that was cut off counts if it starts like one: {"key":
bool is_json_object(std::string_view line, bool cut_off) {
  if (!line.starts_with('{')) return false;
  if (cut_off) {
    const size_t key = line.find_first_not_of(" \t", 1);
    const size_t end = key == std::string_view::npos || line[key] != '"' ? key : line.find('"', key + 1);
    return end != std::string_view::npos && end > key && line.find_first_not_of(" \t", end + 1) == line.find(':', end);
  }
  if (nests_deeply(line)) return false;
  const auto json = nlohmann::json::parse(line, nullptr, false);
  return json.is_object() && !json.empty();
}

/// Whether the first two lines of the text, or its only line, are JSON objects.
bool is_json_lines(std::string_view text) {
  const size_t end = text.find('\n');
  if (!is_json_object(text.substr(0, end), end == std::string_view::npos && std::ssize(text) >= kBytesRead - 3))
    return false;
  if (end == std::string_view::npos || end + 1 == text.size()) return true;
  const std::string_view rest = text.substr(end + 1);
  return is_json_object(rest.substr(0, rest.find('\n')), rest.find('\n') == std::string_view::npos);
}

void check_marks(const std::filesystem::path& path, std::string_view bytes) {
  for (const auto& [mark, name] : {std::pair{"\xFF\xFE\x00\x00"sv, "UTF-32"}, std::pair{"\x00\x00\xFE\xFF"sv, "UTF-32"},
                                   std::pair{"\xFF\xFE"sv, "UTF-16"}, std::pair{"\xFE\xFF"sv, "UTF-16"}}) {
    if (bytes.starts_with(mark))
      throw refuse(path, fmt::format("text in {}", name),
                   fmt::format("convert it: iconv -f {} -t UTF-8 FILE > text.txt", name));
  }
}

void check_format(const std::filesystem::path& path, std::string_view bytes) {
  for (const Format& format : formats()) {
    if (!format.magic.empty() && bytes.substr(std::min(format.offset, bytes.size())).starts_with(format.magic)) {
      throw refuse(path, format.name, format.advice);
    }
  }
  std::string suffix = path.extension().string();
  std::ranges::transform(suffix, suffix.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const Format& format : formats()) {
    if (std::ranges::find(format.suffixes, suffix) == format.suffixes.end()) continue;
    throw refuse(path, fmt::format("{} by its name", format.name), format.advice);
  }
}

}  // namespace

int64_t begin_of_text(const std::filesystem::path& path) {
  constexpr std::string_view kMark = "\xEF\xBB\xBF";
  const std::string bytes = beginning_of(path);
  check_marks(path, bytes);
  check_format(path, bytes);
  std::string_view text = bytes;
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  if (is_json_lines(text)) throw refuse(path, "JSON lines", kPrepareHf);
  if (text.find('\0') != std::string_view::npos) {
    throw refuse(path, "binary (it starts with zero bytes)", "if it is UTF-16 text, convert it with iconv");
  }
  return std::ssize(bytes) - std::ssize(text);
}

}  // namespace lighthouse
