// scripts/prepare_hf.py, with a tokenizer that stands for Hugging Face's. Skipped where there is no Python with NumPy.
#include <algorithm>
#include <cstring>

#include "workspace.h"

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;

const std::string kSource = LIGHTHOUSE_SOURCE_DIR;

Outcome python(const Arguments& arguments, const Arguments& environment = {}) {
  Arguments all{"PYTHONPATH=" + kSource + "/tests/cli/stub", "PYTHONDONTWRITEBYTECODE=1"};
  all.insert(all.end(), environment.begin(), environment.end());
  all.push_back("python3");
  all.insert(all.end(), arguments.begin(), arguments.end());
  return Process("/usr/bin/env", all).wait();
}

class PrepareHf : public Workspace {
 protected:
  void SetUp() override {
    if (python({"-c", "import numpy"}).exit_code != 0) GTEST_SKIP() << "python3 with numpy is not here";
    write_text(at("tokenizer.json"), R"({"end_of_text": "</s>", "rows": 257})");
  }

  Outcome prepare(const Arguments& more) const {
    Arguments arguments{kSource + "/scripts/prepare_hf.py", "--tokenizer", path("tokenizer.json")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return python(arguments, {"PREPARE_TEST=" + folder_.string()});
  }
  /// All tokens of a folder's shards whose names begin so.
  template <typename Token>
  std::vector<Token> tokens_of(const std::string& folder, const std::string& prefix) const {
    std::vector<fs::path> shards;
    for (const auto& entry : fs::directory_iterator(at(folder))) {
      if (entry.path().filename().string().starts_with(prefix)) shards.push_back(entry.path());
    }
    std::sort(shards.begin(), shards.end());
    std::vector<Token> tokens;
    for (const fs::path& shard : shards) {
      const std::string bytes = read_text(shard);
      const size_t old = tokens.size();
      tokens.resize(old + (bytes.size() - 1024) / sizeof(Token));
      std::memcpy(tokens.data() + old, bytes.data() + 1024, bytes.size() - 1024);
    }
    return tokens;
  }
};

std::vector<uint16_t> expected_of(const std::vector<std::string>& documents) {
  std::vector<uint16_t> tokens;
  for (const std::string& document : documents) {
    for (unsigned char c : document) tokens.push_back(c);
    tokens.push_back(256);
  }
  return tokens;
}

TEST_F(PrepareHf, EndsEachDocumentAndCutsValidationBetweenThem) {
  write_text(at("book.txt"), "a book,\nof </s> two lines\n");
  write_text(at("pages.jsonl"), "{\"text\": \"one\"}\n\n{\"text\": \"tw\\u00f6\"}\n{\"text\": \"three\"}\n");
  expect_done(prepare({"--out", path("data"), "--validation-share", "0.2", "--shard-tokens", "20", "--processes", "2",
                       path("book.txt"), path("pages.jsonl")}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"a book,\nof </s> two lines\n", "one", "tw\xC3\xB6"}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "val-"), expected_of({"three"}));
  EXPECT_EQ(std::distance(fs::directory_iterator(at("data")), {}), 3) << "and nothing else";
  expect_done(lighthouse({"data", "inspect", path("data/*.bin"), "--tokenizer", "bytes"}));
}

TEST_F(PrepareHf, WritesWideTokensForALargeVocabulary) {
  write_text(at("tokenizer.json"), R"({"end_of_text": "</s>", "rows": 70000})");
  write_text(at("book.txt"), "text");
  expect_done(prepare({"--out", path("data"), "--validation-share", "0", path("book.txt")}));
  EXPECT_EQ(tokens_of<uint32_t>("data", "train-"), (std::vector<uint32_t>{'t', 'e', 'x', 't', 256}));
}

TEST_F(PrepareHf, GoesOnWhereItWasStopped) {
  const std::string text = sample_text(9 << 20);  // two parts
  write_text(at("a.txt"), text);
  write_text(at("b.jsonl"), "{\"text\": \"interrupt\"}\n");
  const Arguments arguments{"--out", path("data"), "--processes", "1", path("a.txt"), path("b.jsonl")};
  const Outcome stopped = prepare(arguments);
  EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_FALSE(fs::exists(at("data/train-00000.bin")));
  const Outcome done = prepare(arguments);
  expect_done(done);
  EXPECT_NE(done.err.find("going on: 2 of 3 parts"), std::string::npos) << done.err;
  std::vector<uint16_t> tokens = tokens_of<uint16_t>("data", "train-");
  const std::vector<uint16_t> rest = tokens_of<uint16_t>("data", "val-");
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  EXPECT_TRUE(tokens == expected_of({text, "interrupt"}));
}

TEST_F(PrepareHf, NamesWhatIsBrokenAndLeavesItOutIfAsked) {
  write_text(at("pages.jsonl"), "{\"text\": \"one\"}\n{\"text\": \n{\"text\": \"three\"}\n");
  write_text(at("book.txt"),
             "good\nb\xFF"
             "d\ngood\n");
  expect_refusal(prepare({"--out", path("data"), path("pages.jsonl")}), {"pages.jsonl, line 2", "not JSON", "--skip"});
  expect_refusal(prepare({"--out", path("data"), path("book.txt")}), {"book.txt, line 2", "0xff", "UTF-8"});
  expect_refusal(prepare({"--out", path("data"), "--field", "body", path("pages.jsonl")}), {"line 1", "\"body\""});
  EXPECT_FALSE(fs::exists(at("data/train-00000.bin")));
  const Outcome outcome = prepare(
      {"--out", path("data"), "--validation-share", "0", "--skip-broken", path("pages.jsonl"), path("book.txt")});
  expect_done(outcome);
  EXPECT_NE(outcome.err.find("2 broken documents were left out"), std::string::npos) << outcome.err;
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "three", "good\ngood\n"}));
}

TEST_F(PrepareHf, RefusesWhatCannotBe) {
  write_text(at("book.txt"), "text");
  write_text(at("book.txt.gz"), "text");
  write_text(at("nothing.txt"), "");
  const auto before = snapshot();
  expect_refusal(prepare({"--out", path("data"), path("none.txt")}), {"none.txt", "no such file"});
  expect_refusal(prepare({"--out", path("data"), path("nothing.txt")}), {"nothing.txt is empty"});
  expect_refusal(prepare({"--out", path("data"), path("book.txt.gz")}), {"compressed"});
  expect_refusal(prepare({"--out", path("data"), "--end-of-text", "<eos>", path("book.txt")}), {"<eos>"});
  expect_refusal(prepare({"--out", path("data"), "--validation-share", "0.7", path("book.txt")}), {"0.7", "0.5"});
  EXPECT_EQ(snapshot(), before);
  expect_done(prepare({"--out", path("data"), "--validation-share", "0", path("book.txt")}));
  expect_refusal(prepare({"--out", path("data"), path("book.txt")}), {"has shards already", "--overwrite"});
}

}  // namespace
}  // namespace lighthouse::test
