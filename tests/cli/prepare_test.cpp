// lighthouse prepare.
#include <cstring>

#include "workspace.h"

namespace lighthouse::test {
namespace {

using Prepare = Workspace;

std::vector<int32_t> header_of(const std::string& shard) {
  std::vector<int32_t> header(3);
  std::memcpy(header.data(), shard.data(), 12);
  return header;
}

std::vector<int> tokens_of(const std::string& shard) {
  std::vector<uint16_t> tokens((shard.size() - 1024) / 2);
  std::memcpy(tokens.data(), shard.data() + 1024, shard.size() - 1024);
  return {tokens.begin(), tokens.end()};
}

TEST_F(Prepare, WritesShardsOfAChosenSizeWithEndOfTextBetweenFiles) {
  const std::string one = sample_text(1000);
  const std::string two = "\xC3\xA9 and bytes \xFF";
  write_text(at("one.txt"), one);
  write_text(at("two.txt"), two);
  expect_done(lighthouse({"prepare", "--out", path("data"), "--shard-tokens", "400", "--validation-share", "0.1",
                          path("one.txt"), path("two.txt")}));
  std::vector<int> expected;
  for (unsigned char c : one) expected.push_back(c);
  expected.push_back(256);
  for (unsigned char c : two) expected.push_back(c);
  expected.push_back(256);

  std::vector<int> found;
  for (const char* name : {"train-00000.bin", "train-00001.bin", "train-00002.bin", "val-00000.bin"}) {
    const std::string shard = read_text(at("data") / name);
    const std::vector<int> tokens = tokens_of(shard);
    EXPECT_EQ(header_of(shard), (std::vector<int32_t>{20240520, 1, static_cast<int32_t>(tokens.size())}));
    EXPECT_LE(tokens.size(), 400U);
    found.insert(found.end(), tokens.begin(), tokens.end());
  }
  EXPECT_EQ(found, expected);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(at("data")), {}), 4);
}

TEST_F(Prepare, LogsItsResult) {
  write_text(at("text.txt"), sample_text(4000));
  const Outcome outcome = lighthouse({"prepare", "--out", path("data"), path("text.txt")});
  expect_done(outcome);
  for (const char* word : {"100%", "tokens for training", "for validation", "2 shards", "data"}) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << word << " in\n" << outcome.err;
  }
  EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos);
}

TEST_F(Prepare, ReadsOtherFormatsWithAsIs) {
  const std::string bytes = "{\"text\": \"one\"}\n\xEF\xBB\xBF";
  write_text(at("pages.jsonl"), "\xEF\xBB\xBF" + bytes);
  expect_done(
      lighthouse({"prepare", "--out", path("data"), "--validation-share", "0", "--as-is", path("pages.jsonl")}));
  std::vector<int> expected;
  for (unsigned char c : "\xEF\xBB\xBF" + bytes) expected.push_back(c);
  expected.push_back(256);
  EXPECT_EQ(tokens_of(read_text(at("data/train-00000.bin"))), expected);
}

TEST_F(Prepare, RemovesAByteOrderMark) {
  write_text(at("one.txt"), "\xEF\xBB\xBFone");
  write_text(at("two.txt"), "two\xEF\xBB\xBF");  // inside a text it is a character
  expect_done(
      lighthouse({"prepare", "--out", path("data"), "--validation-share", "0", path("one.txt"), path("two.txt")}));
  EXPECT_EQ(tokens_of(read_text(at("data/train-00000.bin"))),
            (std::vector<int>{'o', 'n', 'e', 256, 't', 'w', 'o', 0xEF, 0xBB, 0xBF, 256}));
}

TEST_F(Prepare, NamesSkippedEmptyFiles) {
  write_text(at("text.txt"), sample_text(4000));
  write_text(at("empty.txt"), "");
  const Outcome outcome = lighthouse({"prepare", "--out", path("data"), path("empty.txt"), path("text.txt")});
  expect_done(outcome);
  EXPECT_NE(outcome.err.find("warning " + path("empty.txt") + " is empty; skipped"), std::string::npos) << outcome.err;
}

/// Input that is refused before anything is written.
class PrepareRefusal : public Workspace {
 protected:
  PrepareRefusal() { write_text(at("text.txt"), sample_text(4000)); }

  void expect_refused(const Arguments& arguments, const std::vector<std::string>& words) const {
    const auto before = snapshot();
    Arguments all{"prepare", "--out", path("data")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    expect_refusal(lighthouse(all), words);
    EXPECT_EQ(snapshot(), before);
  }
};

TEST_F(PrepareRefusal, MissingFile) {
  expect_refused({path("text.txt"), path("none.txt")}, {path("none.txt"), "No such file"});
  EXPECT_FALSE(std::filesystem::exists(at("data")));
}

TEST_F(PrepareRefusal, OnlyEmptyFiles) {
  write_text(at("empty.txt"), "");
  write_text(at("too.txt"), "");
  expect_refused({path("empty.txt")}, {path("empty.txt"), "is empty"});
  expect_refused({path("empty.txt"), path("too.txt")}, {path("empty.txt"), "is empty", "all other files"});
  EXPECT_FALSE(std::filesystem::exists(at("data")));
}

TEST_F(PrepareRefusal, FilesThatAreNotPlainText) {
  write_text(at("pages.jsonl"), "{\"text\": \"one\"}\n");
  write_text(at("pages.txt"), "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  write_text(at("table.parquet"), "PAR1");
  write_text(at("text.gz"), "\x1F\x8B\x08 and so on");
  write_text(at("marked.txt"), std::string("\xFF\xFEt\0e\0", 6));
  write_text(at("mark.txt"), "\xEF\xBB\xBF");
  expect_refused({path("text.txt"), path("pages.jsonl")}, {path("pages.jsonl"), "JSON lines", "prepare_hf.py"});
  expect_refused({path("pages.txt")}, {path("pages.txt"), "JSON lines", "prepare_hf.py", "--as-is"});
  expect_refused({path("table.parquet")}, {path("table.parquet"), "Parquet", "prepare_hf.py"});
  expect_refused({path("text.gz")}, {path("text.gz"), "gzip", "zcat"});
  expect_refused({path("marked.txt")}, {path("marked.txt"), "UTF-16", "iconv"});
  expect_refused({path("mark.txt")}, {path("mark.txt"), "is empty"});
  write_data();
  expect_refused({path("data/val-00000.bin")}, {path("data/val-00000.bin"), "token shard"});
}

TEST_F(PrepareRefusal, FolderAsFile) {
  std::filesystem::create_directories(at("folder"));
  expect_refused({path("folder")}, {path("folder"), "not a regular file"});
}

TEST_F(PrepareRefusal, NoFileOrNoFolder) {
  expect_refused({}, {"FILE is required"});
  expect_refusal(lighthouse({"prepare", path("text.txt")}), {"--out is required"});
}

TEST_F(PrepareRefusal, OptionsOutOfRange) {
  expect_refused({"--validation-share", "0.9", path("text.txt")}, {"validation share is 0.9", "0 to 0.5"});
  expect_refused({"--validation-share=-1", path("text.txt")}, {"validation share is -1", "0 to 0.5"});
  expect_refused({"--shard-tokens=-4", path("text.txt")}, {"-4 tokens", "expected 2 to"});
  expect_refused({"--shard-tokens", "99999999999", path("text.txt")}, {"99999999999 tokens", "expected 2 to"});
  expect_refused({"--shard-tokens", "many", path("text.txt")}, {"--shard-tokens", "many"});
  expect_refused({"--tokenizer", "bpe", path("text.txt")}, {"unknown tokenizer \"bpe\"", "bytes"});
}

TEST_F(PrepareRefusal, TextTooShortToSplit) {
  write_text(at("short.txt"), "x");
  expect_refused({path("short.txt")}, {"too little to take"});
}

TEST_F(PrepareRefusal, ExistingShards) {
  expect_done(lighthouse({"prepare", "--out", path("data"), "--shard-tokens", "1000", path("text.txt")}));
  write_text(at("other.txt"), sample_text(2500));
  expect_refused({path("other.txt")}, {path("data"), "already has shards", "--overwrite"});
  // --overwrite leaves none of the old shards.
  expect_done(lighthouse({"prepare", "--out", path("data"), "--overwrite", path("other.txt")}));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(at("data")), {}), 2);
  // A failed --overwrite leaves the old shards.
  expect_refused({"--overwrite", path("none.txt")}, {path("none.txt")});
}

TEST_F(PrepareRefusal, OutputThatCannotBeWritten) {
  for (const std::string& out : {path("text.txt/data"), std::string("/proc/lighthouse")}) {
    expect_refusal(lighthouse({"prepare", "--out", out, path("text.txt")}), {"cannot make the folder", out});
  }
  expect_refusal(lighthouse({"prepare", "--out", path("text.txt"), path("text.txt")}), {path("text.txt")});
  EXPECT_EQ(read_text(at("text.txt")), sample_text(4000));
}

}  // namespace
}  // namespace lighthouse::test
