// scripts/prepare_hf.py with a fake tokenizers package. Skipped without Python and NumPy.
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
  /// All tokens of a folder's shards with this prefix.
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

TEST_F(PrepareHf, EndsEachDocumentAndSplitsBetweenDocuments) {
  write_text(at("book.txt"), "a book,\nof </s> two lines\n");
  write_text(at("pages.jsonl"), "{\"text\": \"one\"}\n\n{\"text\": \"tw\\u00f6\"}\n{\"text\": \"three\"}\n");
  expect_done(prepare({"--out", path("data"), "--validation-share", "0.2", "--shard-tokens", "20", "--processes", "2",
                       path("book.txt"), path("pages.jsonl")}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"a book,\nof </s> two lines\n", "one", "tw\xC3\xB6"}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "val-"), expected_of({"three"}));
  EXPECT_EQ(std::distance(fs::directory_iterator(at("data")), {}), 3) << "and nothing else";
  expect_done(lighthouse({"data", "inspect", path("data/*.bin"), "--tokenizer", "bytes"}));
}

TEST_F(PrepareHf, SkipsEmptyFiles) {
  write_text(at("empty.txt"), "");
  write_text(at("book.txt"), "text");
  const Outcome outcome =
      prepare({"--out", path("data"), "--validation-share", "0", path("empty.txt"), path("book.txt")});
  expect_done(outcome);
  EXPECT_NE(outcome.err.find("warning: " + path("empty.txt") + " is empty"), std::string::npos) << outcome.err;
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"text"}));
}

TEST_F(PrepareHf, WritesWideTokensForALargeVocabulary) {
  write_text(at("tokenizer.json"), R"({"end_of_text": "</s>", "rows": 70000})");
  write_text(at("book.txt"), "text");
  expect_done(prepare({"--out", path("data"), "--validation-share", "0", path("book.txt")}));
  EXPECT_EQ(tokens_of<uint32_t>("data", "train-"), (std::vector<uint32_t>{'t', 'e', 'x', 't', 256}));
}

TEST_F(PrepareHf, ContinuesWhereItWasStopped) {
  const std::string text = sample_text(9 << 20);  // two parts
  write_text(at("a.txt"), text);
  write_text(at("b.jsonl"), "{\"text\": \"interrupt\"}\n");
  const Arguments arguments{"--out", path("data"), "--processes", "1", path("a.txt"), path("b.jsonl")};
  const Outcome stopped = prepare(arguments);
  EXPECT_EQ(stopped.exit_code, 130) << stopped.err;
  EXPECT_FALSE(fs::exists(at("data/train-00000.bin")));
  const Outcome done = prepare(arguments);
  expect_done(done);
  EXPECT_NE(done.err.find("continuing: 2 of 3 parts"), std::string::npos) << done.err;
  std::vector<uint16_t> tokens = tokens_of<uint16_t>("data", "train-");
  const std::vector<uint16_t> rest = tokens_of<uint16_t>("data", "val-");
  tokens.insert(tokens.end(), rest.begin(), rest.end());
  EXPECT_TRUE(tokens == expected_of({text, "interrupt"}));
}

TEST_F(PrepareHf, ReportsADeadWorkerAndContinues) {
  write_text(at("a.jsonl"), "{\"text\": \"one\"}\n");
  write_text(at("b.jsonl"), "{\"text\": \"killed\"}\n");
  const Arguments arguments{"--out", path("data"),    "--processes",  "1", "--validation-share",
                            "0",     path("a.jsonl"), path("b.jsonl")};
  const Outcome died = prepare(arguments);
  EXPECT_EQ(died.exit_code, 1);
  EXPECT_NE(died.err.find("a worker process died"), std::string::npos) << died.err;
  expect_done(prepare(arguments));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "killed"}));
}

TEST_F(PrepareHf, StartsAgainWithAnotherTokenizer) {
  write_text(at("a.jsonl"), "{\"text\": \"one\"}\n");
  write_text(at("b.jsonl"), "{\"text\": \"killed\"}\n");
  const Arguments arguments{"--out", path("data"),    "--processes",  "1", "--validation-share",
                            "0",     path("a.jsonl"), path("b.jsonl")};
  EXPECT_EQ(prepare(arguments).exit_code, 1);
  write_text(at("tokenizer.json"), R"({"end_of_text": "</s>", "rows": 70000})");  // under the same name
  const Outcome anew = prepare(arguments);
  expect_done(anew);
  EXPECT_EQ(anew.err.find("continuing"), std::string::npos) << anew.err;
  EXPECT_EQ(tokens_of<uint32_t>("data", "train-").size(), 11U);
}

TEST_F(PrepareHf, RefusesASecondCallInAFolder) {
  write_text(at("a.jsonl"), "{\"text\": \"slow\"}\n");
  const Arguments arguments{"PYTHONPATH=" + kSource + "/tests/cli/stub",
                            "python3",
                            kSource + "/scripts/prepare_hf.py",
                            "--tokenizer",
                            path("tokenizer.json"),
                            "--validation-share",
                            "0",
                            "--out",
                            path("data"),
                            path("a.jsonl")};
  Process first("/usr/bin/env", arguments);
  ASSERT_TRUE(
      wait_until(std::chrono::seconds(20), [&] { return fs::exists(at("data")) && !fs::is_empty(at("data")); }));
  expect_refusal(prepare({"--out", path("data"), path("a.jsonl")}), {"another call is writing to " + path("data")});
  expect_done(first.wait());
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"slow"}));
}

TEST_F(PrepareHf, NamesInvalidDocumentsOrDropsThem) {
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
  EXPECT_NE(outcome.err.find("dropped 2 broken documents"), std::string::npos) << outcome.err;
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "three", "good\ngood\n"}));
}

TEST_F(PrepareHf, RefusesJsonThatIsNotText) {
  std::vector<std::pair<std::string, std::string>> lines{
      {R"({"text": "half a \ud83d character"})", "\\ud83d is a lone surrogate"},
      {std::string(100'000, '['), "unreadable JSON"},
      {R"([{"text": "a"}])", "no text under"},
      {R"({"text": null})", "no text under"}};
  if (python({"-c", "import sys; sys.set_int_max_str_digits(4300)"}).exit_code == 0) {  // older versions have no limit
    lines.emplace_back("{\"text\": \"a\", \"n\": " + std::string(5000, '1') + "}", "unreadable JSON");
  }
  std::string all = "{\"text\": \"one\"}\n";
  for (const auto& [line, problem] : lines) {
    write_text(at("pages.jsonl"), "{\"text\": \"one\"}\n" + line + "\n");
    expect_refusal(prepare({"--out", path("data"), path("pages.jsonl")}), {"pages.jsonl, line 2", problem, "--skip"});
    all += line + "\n";
  }
  write_text(at("pages.jsonl"), all + "{\"text\": \"two\"}\n");
  const Outcome outcome =
      prepare({"--out", path("data"), "--validation-share", "0", "--skip-broken", path("pages.jsonl")});
  expect_done(outcome);
  EXPECT_NE(outcome.err.find(std::to_string(lines.size()) + " broken documents"), std::string::npos) << outcome.err;
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "two"}));
}

TEST_F(PrepareHf, RemovesByteOrderMarks) {
  write_text(at("book.txt"), "\xEF\xBB\xBFtext");
  write_text(at("pages.jsonl"), "\xEF\xBB\xBF{\"text\": \"one\"}\n\xEF\xBB\xBF{\"text\": \"two\"}\n");
  expect_done(prepare({"--out", path("data"), "--validation-share", "0", path("book.txt"), path("pages.jsonl")}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"text", "one", "two"}));
  write_text(at("wide.txt"), std::string("\xFF\xFEt\0e\0", 6));
  expect_refusal(prepare({"--out", path("wide"), path("wide.txt")}), {"wide.txt", "UTF-16", "iconv"});
}

TEST_F(PrepareHf, RecognisesFilesByTheirFirstBytes) {
  write_text(at("pages.txt"), "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  write_text(at("zipped.txt"), "\x1F\x8B\x08 and so on");
  expect_refusal(prepare({"--out", path("data"), path("zipped.txt")}), {"zipped.txt", "gzip"});
  expect_done(prepare({"--out", path("data"), "--validation-share", "0", path("pages.txt")}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "two"}));
}

TEST_F(PrepareHf, ReadsNestedKeys) {
  write_text(at("pages.jsonl"),
             "{\"page\": {\"text\": \"one\"}}\n{\"page.text\": \"two\"}\n{\"page\": {\"text\": 3}}\n{\"page\": 4}\n");
  const Arguments arguments{"--out", path("data"), "--field", "page.text", "--validation-share", "0"};
  Arguments all = arguments;
  all.push_back(path("pages.jsonl"));
  expect_refusal(prepare(all), {"pages.jsonl, line 3", "no text under \"page.text\""});
  all.emplace_back("--skip-broken");
  expect_done(prepare(all));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "two"}));
}

TEST_F(PrepareHf, SlicesOfALongDocumentGiveTheSameTokens) {
  const std::string with_words = sample_text(3 << 20);
  const std::string without(2 << 20, 'x');
  write_text(at("a.jsonl"), "{\"text\": \"" + without + "\"}\n");
  write_text(at("b.txt"), with_words);
  const Outcome outcome = prepare({"--out", path("data"), "--validation-share", "0", path("a.jsonl"), path("b.txt")});
  expect_done(outcome);
  EXPECT_TRUE(tokens_of<uint16_t>("data", "train-") == expected_of({without, with_words}));
  // The fake tokenizer refuses texts longer than a slice.
}

TEST_F(PrepareHf, ExpandsPathsAsAShellDoes) {
  write_text(at("home/book.txt"), "text");
  const Arguments arguments{kSource + "/scripts/prepare_hf.py",
                            "--tokenizer=~/../tokenizer.json",
                            "--out=$HOME/data",
                            "--validation-share",
                            "0",
                            "~/book.txt"};
  expect_done(python(arguments, {"HOME=" + path("home")}));
  EXPECT_TRUE(fs::exists(at("home/data/train-00000.bin")));
  expect_refusal(prepare({"--out", "$LH_NOTHING/data", path("home/book.txt")}), {"$LH_NOTHING", "full path"});
}

TEST_F(PrepareHf, RefusesInvalidOptions) {
  write_text(at("book.txt"), "text");
  write_text(at("book.txt.gz"), "text");
  write_text(at("nothing.txt"), "");
  write_text(at("odd/tokenizer.json"), read_text(at("tokenizer.json")));
  write_text(at("odd/tokenizer_config.json"), "[]");
  const auto before = snapshot();
  expect_refusal(prepare({"--out", path("data"), path("none.txt")}), {"none.txt", "does not exist"});
  expect_refusal(prepare({"--out", path("data"), path("nothing.txt")}), {"nothing.txt is empty"});
  expect_refusal(prepare({"--out", path("data"), path("book.txt.gz")}), {"compressed"});
  expect_refusal(prepare({"--out", path("data"), "--end-of-text", "<eos>", path("book.txt")}), {"<eos>"});
  expect_refusal(prepare({"--out", path("data"), "--validation-share", "0.7", path("book.txt")}), {"0.7", "0.5"});
  expect_refusal(prepare({"--out", path("data"), path("odd")}), {path("odd"), "is a folder"});
  expect_refusal(prepare({"--out", path("book.txt"), path("book.txt")}), {path("book.txt"), "is not a folder"});
  expect_refusal(prepare({"--out", path("data"), "--tokenizer", path("odd"), path("book.txt")}),
                 {"tokenizer_config.json"});
  EXPECT_EQ(snapshot(), before);
  expect_done(prepare({"--out", path("data"), "--validation-share", "0", path("book.txt")}));
  expect_refusal(prepare({"--out", path("data"), path("book.txt")}), {"already has shards", "--overwrite"});
}

TEST_F(PrepareHf, NamesMissingPackages) {
  write_text(at("book.txt"), "text");
  write_text(at("pages.parquet"), "PAR1");
  write_text(at("without/pyarrow.py"), "raise ImportError('no pyarrow')\n");
  const auto run_without = [&](const std::string& file) {
    const std::string stub = path("without") + ":" + kSource + "/tests/cli/stub";
    return python(
        {kSource + "/scripts/prepare_hf.py", "--tokenizer", path("tokenizer.json"), "--out", path("data"), path(file)},
        {"PYTHONPATH=" + stub});
  };
  expect_refusal(run_without("pages.parquet"), {path("pages.parquet"), "pyarrow"});
  write_text(at("without/tokenizers.py"), "raise ImportError(\"No module named 'tokenizers'\")\n");
  expect_refusal(run_without("book.txt"), {"No module named 'tokenizers'", "-m pip install tokenizers numpy pyarrow"});
  EXPECT_FALSE(fs::exists(at("data")));
}

// With the real pyarrow, which also writes the files.
class PrepareParquet : public PrepareHf {
 protected:
  void SetUp() override {
    PrepareHf::SetUp();
    if (IsSkipped()) return;
    if (python({"-c", "import pyarrow.parquet"}).exit_code != 0) GTEST_SKIP() << "python3 with pyarrow is not here";
  }

  /// `columns`: a Python dictionary. Two rows per group, and pages with checksums.
  void write_parquet(const std::string& name, const std::string& columns) const {
    const std::string program =
        "import pyarrow, pyarrow.parquet as parquet\n"
        "parquet.write_table(pyarrow.table(" +
        columns + "), '" + path(name) + "', row_group_size=2, compression='gzip', write_page_checksum=True)";
    expect_done(python({"-c", program}));
  }
};

TEST_F(PrepareParquet, ARowIsADocument) {
  write_parquet("a.parquet", "{'id': [1, 2, 3], 'text': ['one', 'tw\u00f6', 'three']}");
  expect_done(prepare({"--out", path("data"), "--validation-share", "0", path("a.parquet")}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "tw\xC3\xB6", "three"}));
}

TEST_F(PrepareParquet, RefusesDamagedFiles) {
  write_parquet("a.parquet", "{'text': ['one', 'two', 'three']}");
  const std::string sound = read_text(at("a.parquet"));
  for (const std::string& broken :
       {std::string("PAR1"), std::string("no Parquet at all"), sound.substr(0, sound.size() / 2),
        sound.substr(0, sound.size() - 1), sound.substr(0, sound.size() - 12) + std::string(4, '\x7F') + "abcdPAR1"}) {
    write_text(at("a.parquet"), broken);
    expect_refusal(prepare({"--out", path("data"), path("a.parquet")}),
                   {path("a.parquet"), "not a valid Parquet file"});
  }
  EXPECT_FALSE(fs::exists(at("data")));
}

TEST_F(PrepareParquet, RefusesDamagedPagesOrDropsTheirRows) {
  write_parquet("a.parquet", "{'text': ['one' * 50, 'two' * 50, 'three', 'four']}");
  std::string bytes = read_text(at("a.parquet"));
  for (size_t i = 30; i < 60; ++i) bytes[i] = static_cast<char>(bytes[i] ^ 0x55);  // in the first row group
  write_text(at("a.parquet"), bytes);
  expect_refusal(prepare({"--out", path("data"), path("a.parquet")}), {path("a.parquet"), "rows from 1 on", "--skip"});
  EXPECT_FALSE(fs::exists(at("data/train-00000.bin")));
  const Outcome outcome =
      prepare({"--out", path("data"), "--validation-share", "0", "--skip-broken", path("a.parquet")});
  expect_done(outcome);
  EXPECT_NE(outcome.err.find("2 broken documents"), std::string::npos) << outcome.err;
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"three", "four"}));
}

TEST_F(PrepareParquet, DropsOnlyTheRowThatIsNotUtf8) {
  write_parquet("a.parquet",
                "{'text': pyarrow.Array.from_buffers(pyarrow.string(), 4, "
                "pyarrow.array([b'one', b'b\\xffd', b'three', b'four']).buffers())}");
  expect_refusal(prepare({"--out", path("data"), path("a.parquet")}), {path("a.parquet"), "row 2", "byte 2", "0xff"});
  const Outcome outcome =
      prepare({"--out", path("data"), "--validation-share", "0", "--skip-broken", path("a.parquet")});
  expect_done(outcome);
  EXPECT_NE(outcome.err.find("1 broken documents"), std::string::npos) << outcome.err;
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "three", "four"}));
}

TEST_F(PrepareParquet, ReadsNestedColumns) {
  write_parquet("a.parquet",
                "{'page': [{'text': 'one', 'n': 1}, {'text': 'two', 'n': 2}, None], 'list': [['a'], ['b'], ['c']]}");
  const std::string file = path("a.parquet");
  expect_refusal(prepare({"--out", path("data"), "--field", "page", file}), {file, "struct", "page.text, page.n"});
  expect_refusal(prepare({"--out", path("data"), "--field", "page.body", file}),
                 {"\"page.body\"", "page.text, page.n"});
  expect_refusal(prepare({"--out", path("data"), "--field", "page.n", file}), {"\"page.n\"", "int64"});
  expect_refusal(prepare({"--out", path("data"), "--field", "page.text.x", file}), {"\"page.text\"", "string"});
  expect_refusal(prepare({"--out", path("data"), "--field", "list", file}), {"\"list\"", "list"});
  expect_refusal(prepare({"--out", path("data"), "--field", "page.text", file}), {"row 3", "is null"});
  expect_done(
      prepare({"--out", path("data"), "--validation-share", "0", "--skip-broken", "--field", "page.text", file}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "two"}));
}

TEST_F(PrepareParquet, ReadsARowGroupInParts) {
  expect_done(python({"-c",
                      "import pyarrow, pyarrow.parquet as parquet\n"
                      "parquet.write_table(pyarrow.table({'text': ['word ' * 2000] * 1000}), '" +
                          path("a.parquet") + "')"}));
  expect_done(prepare({"--out", path("data"), "--validation-share", "0", path("a.parquet")}));
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-").size(), 1000U * 10001);
}

TEST_F(PrepareParquet, RefusesColumnsThatAreNotText) {
  write_parquet("a.parquet", "{'id': [1, 2, 3], 'text': ['one', 'two', None], 'raw': [b'a', b'b', b'c']}");
  const std::string file = path("a.parquet");
  expect_refusal(prepare({"--out", path("data"), "--field", "body", file}), {file, "\"body\"", "id, text, raw"});
  expect_refusal(prepare({"--out", path("data"), "--field", "id", file}), {file, "\"id\"", "int"});
  expect_refusal(prepare({"--out", path("data"), "--field", "raw", file}), {file, "\"raw\"", "binary", "strings"});
  expect_refusal(prepare({"--out", path("data"), file}), {file, "row 3", "is null", "--skip-broken"});
  const Outcome outcome = prepare({"--out", path("data"), "--validation-share", "0", "--skip-broken", file});
  expect_done(outcome);
  EXPECT_NE(outcome.err.find("1 broken documents"), std::string::npos) << outcome.err;
  EXPECT_EQ(tokens_of<uint16_t>("data", "train-"), expected_of({"one", "two"}));
}

}  // namespace
}  // namespace lighthouse::test
