#include "lighthouse/data/prepare.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <string>

#include "core/temporary_folder.h"
#include "data/shard_files.h"
#include "lighthouse/core/error.h"
#include "lighthouse/data/loader.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

class PrepareTest : public testing::Test {
 protected:
  PrepareTest() { options_.directory = out(); }

  fs::path out() const { return folder_ / "out"; }

  /// Adds a file to the files to prepare.
  void text(const std::string& name, const std::string& content) {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    options_.files.push_back(folder_ / name);
  }

  PrepareResult run(const PrepareProgress& progress = {}) const {
    return prepare(options_, *make_tokenizer("bytes"), progress);
  }

  std::string refusal() const {
    return message_of<InputError>([&] { run(); });
  }

  std::vector<int32_t> tokens(const std::string& name) const { return read_all(TokenShard(out() / name)); }

  Names names() const {
    Names names;
    if (!fs::exists(out())) return {"no folder"};
    for (const auto& entry : fs::directory_iterator(out())) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
  }

  TemporaryFolder folder_;
  PrepareOptions options_;
};

std::vector<int32_t> tokens_of(const std::string& text) {
  return {text.begin(), text.end()};
}

TEST_F(PrepareTest, WritesEndOfTextAfterEachFile) {
  text("a.txt", "abc");
  text("b.txt", "de");
  options_.validation_share = 0;
  const PrepareResult result = run();
  EXPECT_EQ(result.train_tokens, 7);
  EXPECT_EQ(result.validation_tokens, 0);
  EXPECT_EQ(result.shards, std::vector<fs::path>{out() / "train-00000.bin"});
  EXPECT_EQ(tokens("train-00000.bin"), (std::vector<int32_t>{'a', 'b', 'c', 256, 'd', 'e', 256}));
  EXPECT_EQ(names(), Names{"train-00000.bin"});
}

TEST_F(PrepareTest, SkipsEmptyFiles) {
  text("first.txt", "");
  text("a.txt", "abc");
  text("mark.txt", "\xEF\xBB\xBF");
  text("b.txt", "de");
  text("last.txt", "");
  options_.validation_share = 0;
  EXPECT_EQ(run().empty_files,
            (std::vector<fs::path>{folder_ / "first.txt", folder_ / "mark.txt", folder_ / "last.txt"}));
  EXPECT_EQ(tokens("train-00000.bin"), (std::vector<int32_t>{'a', 'b', 'c', 256, 'd', 'e', 256}));
}

TEST_F(PrepareTest, SplitsValidationOffTheEnd) {
  text("a.txt", std::string(59, 'a'));
  text("b.txt", std::string(39, 'b'));
  for (double share : {0.02, 0.1, 0.25, 0.39, 0.4, 0.41, 0.5}) {
    options_.validation_share = share;
    const PrepareResult result = run();
    options_.overwrite = true;
    EXPECT_EQ(result.validation_tokens, std::lround(share * 100));
    std::vector<int32_t> all = tokens("train-00000.bin");
    EXPECT_EQ(std::ssize(all), result.train_tokens);
    const auto validation = tokens("val-00000.bin");
    EXPECT_EQ(std::ssize(validation), result.validation_tokens);
    all.insert(all.end(), validation.begin(), validation.end());
    std::vector<int32_t> expected = tokens_of(std::string(59, 'a'));
    expected.push_back(256);
    expected.insert(expected.end(), 39, 'b');
    expected.push_back(256);
    EXPECT_EQ(all, expected) << share;
  }
}

TEST_F(PrepareTest, CutsShards) {
  std::string content;
  for (int i = 0; i < 1000; ++i) content += static_cast<char>(i * 7);
  text("a.txt", content);
  options_.as_is = true;  // keep zero bytes
  options_.shard_tokens = 300;
  options_.validation_share = 0.4;
  const PrepareResult result = run();
  EXPECT_EQ(names(),
            (Names{"train-00000.bin", "train-00001.bin", "train-00002.bin", "val-00000.bin", "val-00001.bin"}));
  std::vector<int32_t> all;
  for (const fs::path& path : result.shards) {
    const TokenShard shard(path);
    EXPECT_LE(shard.size(), 300);
    EXPECT_EQ(shard.bytes_per_token(), 2);
    const auto part = read_all(shard);
    all.insert(all.end(), part.begin(), part.end());
  }
  ASSERT_EQ(all.size(), 1001);
  for (size_t i = 0; i < 1000; ++i) ASSERT_EQ(all[i], static_cast<uint8_t>(content[i]));
}

TEST_F(PrepareTest, AFullShardIsNotFollowedByAnEmptyOne) {
  text("a.txt", std::string(599, 'a'));
  options_.shard_tokens = 300;
  options_.validation_share = 0;
  EXPECT_EQ(run().shards.size(), 2);
}

TEST_F(PrepareTest, ReadsLongFilesInBlocks) {
  std::string content(20'000'003, 'x');
  for (size_t i = 0; i < content.size(); i += 997) content[i] = static_cast<char>(i / 997);
  text("a.txt", content);
  text("b.txt", "end");
  options_.as_is = true;  // keep zero bytes
  std::vector<int64_t> seen;
  const PrepareResult result = run([&](int64_t bytes, int64_t of) {
    EXPECT_EQ(of, 20'000'006);
    seen.push_back(bytes);
  });
  EXPECT_GT(seen.size(), 3);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_EQ(seen.back(), 20'000'006);
  EXPECT_EQ(result.train_tokens + result.validation_tokens, 20'000'008);
  EXPECT_EQ(result.validation_tokens, 1'000'000);
  const auto train = tokens("train-00000.bin");
  bool equal = true;
  for (size_t i = 0; i < train.size(); ++i) equal = equal && train[i] == static_cast<uint8_t>(content[i]);
  EXPECT_TRUE(equal);
}

/// Two bytes per token, in a vocabulary that needs 32 bits.
class PairTokenizer final : public Tokenizer {
 public:
  std::string name() const override { return "pairs"; }
  int64_t vocab_size() const override { return 65536 + 257; }
  int32_t end_of_text() const override { return 65536 + 256; }
  void encode(std::string_view text, std::vector<int32_t>& tokens) const override {
    for (size_t i = 0; i + 1 < text.size(); i += 2) {
      tokens.push_back(static_cast<unsigned char>(text[i]) << 8 | static_cast<unsigned char>(text[i + 1]));
    }
    if (text.size() % 2 == 1) tokens.push_back(65536 + static_cast<unsigned char>(text.back()));
  }
  std::string decode(int32_t /*token*/) const override { return ""; }
};

TEST_F(PrepareTest, TakesOtherTokenizers) {
  text("a.txt", std::string(999, 'a'));
  options_.validation_share = 0.1;
  const PrepareResult result = prepare(options_, PairTokenizer());
  EXPECT_EQ(result.train_tokens, 450);
  EXPECT_EQ(result.validation_tokens, 51);
  const TokenShard shard(out() / "val-00000.bin");
  EXPECT_EQ(shard.bytes_per_token(), 4);
  EXPECT_EQ(read_all(shard).back(), 65536 + 256);
  EXPECT_EQ(read_all(shard)[49], 65536 + 'a');
}

TEST_F(PrepareTest, TheLoaderReadsItsShards) {
  text("a.txt", std::string(1000, 'a'));
  run();
  Loader loader({{(out() / "train-*.bin").string(), 1}}, 64, 257, 1);
  std::vector<int32_t> window(65);
  loader.next(1, 0, 1, window);
  EXPECT_EQ(window, tokens_of(std::string(65, 'a')));
}

TEST_F(PrepareTest, RefusesBadInputBeforeWriting) {
  EXPECT_TRUE(contains(refusal(), "no text file"));
  text("a.txt", std::string(1000, 'a'));
  const PrepareOptions good = options_;

  options_.files.push_back(folder_ / "none.txt");
  EXPECT_TRUE(contains(refusal(), "none.txt: No such file"));
  options_ = good;
  options_.files.clear();
  text("empty.txt", "");
  EXPECT_TRUE(contains(refusal(), "empty.txt is empty; expected text"));
  text("mark.txt", "\xEF\xBB\xBF");
  EXPECT_TRUE(contains(refusal(), "empty.txt is empty, and so are all other files"));
  options_ = good;
  options_.files.push_back(folder_.path());
  EXPECT_TRUE(contains(refusal(), "not a regular file"));
  for (double share : {-0.1, 0.6, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    options_ = good;
    options_.validation_share = share;
    EXPECT_TRUE(contains(refusal(), "expected 0 to 0.5"));
  }
  for (int64_t size : {int64_t{0}, int64_t{1}, int64_t{-5}, int64_t{1} << 31}) {
    options_ = good;
    options_.shard_tokens = size;
    EXPECT_TRUE(contains(refusal(), "expected 2 to 2147483647"));
  }
  options_ = good;
  options_.validation_share = 0.001;
  EXPECT_TRUE(contains(refusal(), "too little"));
  EXPECT_EQ(names(), Names{"no folder"});
}

TEST_F(PrepareTest, ReplacesShardsOnlyWithOverwrite) {
  text("a.txt", std::string(1000, 'a'));
  options_.shard_tokens = 200;
  run();
  const Names before = names();
  ASSERT_EQ(before.size(), 6);
  EXPECT_TRUE(contains(refusal(), "--overwrite"));
  EXPECT_EQ(names(), before);

  // Fewer shards than before: the old ones must go; other files must stay.
  std::ofstream(out() / "notes.txt") << "mine";
  options_.overwrite = true;
  options_.shard_tokens = 800;
  run();
  EXPECT_EQ(names(), (Names{"notes.txt", "train-00000.bin", "train-00001.bin", "val-00000.bin"}));
  EXPECT_EQ(tokens("train-00000.bin").size(), 800);
}

TEST_F(PrepareTest, RefusesToReplaceItsOwnText) {
  fs::create_directories(out());
  text("out/train-00000.bin", std::string(1000, 'a'));
  options_.overwrite = true;
  EXPECT_TRUE(contains(refusal(), "would be replaced"));
  EXPECT_EQ(read_file(out() / "train-00000.bin").size(), 1000);
}

TEST_F(PrepareTest, StoppedLeavesNothingBehind) {
  text("a.txt", std::string(1000, 'a'));
  text("b.txt", std::string(1000, 'b'));
  options_.shard_tokens = 300;
  const auto stop = [](int64_t bytes, int64_t of) {
    if (bytes == of) throw Interrupted(SIGINT);
  };
  options_.directory = out() / "deep/deeper";
  EXPECT_THROW(run(stop), Interrupted);
  EXPECT_EQ(names(), Names{"no folder"});

  options_.directory = out();
  options_.validation_share = 0;
  run();
  const Names before = names();
  options_.overwrite = true;
  options_.shard_tokens = 500;
  EXPECT_THROW(run(stop), Interrupted);
  EXPECT_EQ(names(), before);
  EXPECT_EQ(tokens("train-00000.bin").size(), 300);
}

TEST_F(PrepareTest, KilledLeavesNoShards) {
  text("a.txt", std::string(1000, 'a'));
  options_.shard_tokens = 100;
  const pid_t child = fork();
  if (child == 0) {
    run([](int64_t, int64_t) { raise(SIGKILL); });
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(names().size(), 1);
  EXPECT_TRUE(names().front().starts_with("prepare.partial-"));
  EXPECT_THROW(match_files((out() / "train-*.bin").string()), InputError);
  EXPECT_EQ(run().train_tokens, 951);
  EXPECT_EQ(names().size(), 11);  // the killed process's folder was removed
  EXPECT_EQ(names().back(), "val-00000.bin");
}

TEST_F(PrepareTest, KilledWhileMovingShardsIsDetected) {
  text("a.txt", std::string(1000, 'a'));
  options_.shard_tokens = 100;
  run();
  // The state after moving only some shards.
  fs::remove(out() / "train-00009.bin");
  std::ofstream(out() / kUnfinishedMarker) << "stopped";
  const std::string train = (out() / "train-*.bin").string();
  EXPECT_TRUE(contains(message_of<InputError>([&] { match_files(train); }), "incomplete"));
  run();
  EXPECT_EQ(match_files(train).size(), 10);
}

TEST_F(PrepareTest, NamesAFullDisk) {
  fs::create_directories(out());
  if (mount("none", out().c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "a small file system can be mounted by root alone";
  }
  text("a.txt", std::string(1'000'000, 'a'));
  const std::string full = refusal();
  const Names left = names();
  mount("none", out().c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64k");
  const std::string read_only = refusal();
  umount(out().c_str());
  EXPECT_TRUE(contains(full, "No space left"));
  EXPECT_TRUE(left.empty());
  EXPECT_TRUE(contains(read_only, "Read-only file system"));
}

TEST_F(PrepareTest, KeepsOldShardsWhenTheDiskIsFull) {
  fs::create_directories(out());
  if (mount("none", out().c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "a small file system can be mounted by root alone";
  }
  text("a.txt", std::string(1000, 'a'));
  run();
  const Names before = names();
  text("b.txt", std::string(1'000'000, 'b'));
  options_.overwrite = true;
  const std::string full = refusal();
  const Names after = names();
  const auto kept = tokens("train-00000.bin");
  umount(out().c_str());
  EXPECT_TRUE(contains(full, "No space left"));
  EXPECT_EQ(after, before);
  EXPECT_EQ(kept, tokens_of(std::string(951, 'a')));
}

TEST_F(PrepareTest, ManyShardsNeedFewOpenFiles) {
  text("a.txt", std::string(20'000, 'a'));
  options_.shard_tokens = 100;
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{32, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  size_t shards = 0;
  EXPECT_NO_THROW(shards = run().shards.size());
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(shards, 191 + 10);
}

TEST_F(PrepareTest, NamesAFolderThatCannotBeCreated) {
  text("a.txt", std::string(1000, 'a'));
  options_.directory = folder_ / "a.txt";
  EXPECT_THROW(run(), InputError);
  options_.directory = folder_ / "a.txt/out";
  EXPECT_THROW(run(), InputError);
  EXPECT_EQ(read_file(folder_ / "a.txt").size(), 1000);
}

}  // namespace
}  // namespace lighthouse
