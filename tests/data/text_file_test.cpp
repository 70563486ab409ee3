#include "lighthouse/data/text_file.h"

#include <gtest/gtest.h>

#include "core/temporary_folder.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"

namespace lighthouse {
namespace {

using namespace std::string_literals;

class TextFile : public testing::Test {
 protected:
  int64_t begin_of(const std::string& name, const std::string& bytes) const {
    write_file(folder_ / name, bytes);
    return begin_of_text(folder_ / name);
  }
  void expect_refused(const std::string& name, const std::string& bytes, const std::vector<std::string>& words) const {
    const std::string why = message_of<InputError>([&] { begin_of(name, bytes); });
    EXPECT_TRUE(contains(why, (folder_ / name).string())) << why;
    for (const std::string& word : words) EXPECT_TRUE(contains(why, word)) << word << " in " << why;
  }

  TemporaryFolder folder_;
};

TEST_F(TextFile, TextBeginsAfterAByteOrderMark) {
  EXPECT_EQ(begin_of("a.txt", "plain"), 0);
  EXPECT_EQ(begin_of("a.txt", "\xEF\xBB\xBFmarked"), 3);
  EXPECT_EQ(begin_of("a.txt", "\xEF\xBB\xBF"), 3);
  EXPECT_EQ(begin_of("a.txt", ""), 0);
}

TEST_F(TextFile, AcceptsAllKindsOfText) {
  for (const std::string& text :
       {"{ a brace"s, "{}\n"s, "{\"a\": 1}\nand text"s, "int main() {\n}\n"s, "[1, 2]\n"s, "PARAGRAPH"s, "BZh9"s,
        "ORCHARD"s, "<html>"s, "latin-1: \xE9"s, "\x1B[0m escapes\f"s, "{\n  \"pretty\": 1\n}\n"s}) {
    EXPECT_EQ(begin_of("a.txt", text), 0) << text;
  }
  EXPECT_EQ(begin_of("no_suffix", "text"), 0);
  EXPECT_EQ(begin_of("a.tar.txt", "text"), 0);
}

TEST_F(TextFile, RefusesFormatsByTheirFirstBytes) {
  const std::vector<std::tuple<std::string, std::string, std::string>> formats{
      {"PAR1\x15\x04", "Parquet", "prepare_hf.py"},
      {"\x1F\x8B\x08", "gzip", "zcat"},
      {"\x28\xB5\x2F\xFDx", "zstd", "zstd -dc"},
      {"BZh91AY&SY", "bzip2", "bzcat"},
      {"\xFD\x37zXZ\0"s, "xz", "xzcat"},
      {"PK\x03\x04", "zip", "unzip"},
      {"\x04\x22\x4D\x18", "lz4", "lz4 -dc"},
      {"7z\xBC\xAF\x27\x1C", "7z", "7z x"},
      {std::string(257, 'a') + "ustar", "tar archive", "tar -xf"},
      {"ARROW1\0\0"s, "Arrow file", "Parquet"},
      {"\xFF\xFF\xFF\xFFxxxx", "Arrow stream", "Parquet"},
      {"SQLite format 3\0"s, "SQLite", "Parquet"},
      {"%PDF-1.4", "PDF", "pdftotext"},
      {"\x93NUMPY\x01", "NumPy", "shard"},
      {"\x89HDF\r\n\x1A\n", "HDF5", "Parquet"},
      {"\x88\xD8\x34\x01\x01\0\0\0"s, "token shard", "data.train"},
      {"\xA1\xD9\x34\x01\x07\0\0\0"s, "token shard", "data.train"},
      {"\x7F\x45LF\x02", "a program", "extract"},
      {"\xFF\xFEt\0e\0"s, "UTF-16", "iconv -f UTF-16"},
      {"\xFE\xFF\0t\0e"s, "UTF-16", "iconv -f UTF-16"},
      {"\xFF\xFE\0\0t\0\0\0"s, "UTF-32", "iconv -f UTF-32"},
      {"t\0e\0x\0t\0"s, "zero bytes", "iconv"},
      {"{\"text\": \"one\"}\n{\"text\": \"two\"}\n", "JSON lines", "prepare_hf.py"},
      {"\xEF\xBB\xBF{\"text\": \"one\"}", "JSON lines", "prepare_hf.py"},
      {"{ \"text\" : \"" + std::string(100'000, 'a'), "JSON lines", "prepare_hf.py"},
      {"{\"a\": 1}\n{\"text\": \"" + std::string(100'000, 'a'), "JSON lines", "prepare_hf.py"},
  };
  for (const auto& [bytes, name, advice] : formats) expect_refused("a.txt", bytes, {name, advice});
}

TEST_F(TextFile, RefusesFormatsByTheirName) {
  for (const std::string& name : {"a.jsonl"s, "a.json"s, "a.NDJSON"s, "a.parquet"s, "a.txt.gz"s, "a.zst"s, "a.bz2"s,
                                  "a.xz"s, "a.zip"s, "a.arrow"s, "a.feather"s, "a.sqlite"s, "a.pdf"s, "a.npy"s, "a.pt"s,
                                  "a.safetensors"s, "a.tfrecord"s, "a.docx"s}) {
    expect_refused(name, "text", {"by its name"});
  }
}

}  // namespace
}  // namespace lighthouse
