#include "lighthouse/data/sentencepiece.h"

#include <gtest/gtest.h>

#include "core/temporary_folder.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/random.h"
#include "lighthouse/data/prepare.h"
#include "lighthouse/data/shard.h"

#ifdef LIGHTHOUSE_HAS_SENTENCEPIECE
#include <sentencepiece_trainer.h>
#endif

namespace lighthouse {
namespace {

/// Random short words, some of them repeated, with spaces and line ends as in text.
std::string text_of_words(int words, uint64_t seed) {
  const RandomStream random(seed, "words");
  std::string text;
  for (int i = 0; i < words; ++i) {
    const auto at = [&](int j) { return random.uniform(static_cast<uint64_t>(i * 16 + j)); };
    const double shape = at(0);
    const auto length = static_cast<int>(1 + at(1) * 8);
    for (int j = 0; j < length; ++j) text += static_cast<char>('a' + static_cast<int>(at(2 + j) * at(3 + j) * 26));
    text += shape < 0.6    ? " "
            : shape < 0.7  ? "\n"
            : shape < 0.75 ? "   "
            : shape < 0.8  ? "\n\n  "
            : shape < 0.9  ? ", 42 "
                           : "\xC3\xA9 ";
  }
  return text;
}

class SentencePieceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
    write_file(folder_ / "text.txt", text_of_words(4000, 1));
  }
  std::filesystem::path train(SentencePieceKind kind = SentencePieceKind::kBpe) const {
    SentencePieceTraining training;
    training.files = {folder_ / "text.txt"};
    training.output = folder_ / "made.model";
    training.vocab_size = 400;
    training.kind = kind;
    train_sentencepiece(training);
    return training.output;
  }
  static std::vector<int32_t> encode(const Tokenizer& tokenizer, const std::string& text) {
    std::vector<int32_t> tokens;
    tokenizer.encode(text, tokens);
    return tokens;
  }
  static std::string decode(const Tokenizer& tokenizer, const std::vector<int32_t>& tokens) {
    std::string text;
    for (const int32_t token : tokens) text += tokenizer.decode(token);
    return text;
  }
  static std::vector<int32_t> tokens_of(const PrepareResult& result) {
    std::vector<int32_t> found;
    for (const auto& path : result.shards) {
      const TokenShard shard(path);
      std::vector<int32_t> tokens(static_cast<size_t>(shard.size()));
      shard.read(0, tokens);
      found.insert(found.end(), tokens.begin(), tokens.end());
    }
    return found;
  }

  TemporaryFolder folder_;
};

TEST_F(SentencePieceTest, TrainedModelsAreLossless) {
  for (const SentencePieceKind kind : {SentencePieceKind::kBpe, SentencePieceKind::kUnigram}) {
    const auto tokenizer = make_tokenizer(train(kind).string());
    EXPECT_EQ(tokenizer->vocab_size(), 400);
    EXPECT_EQ(tokenizer->begin_of_text(), 1);
    EXPECT_EQ(tokenizer->end_of_text(), 2);
    EXPECT_TRUE(tokenizer->requires_utf8());
    for (const std::string& text :
         {std::string("abc abd"), std::string("  two  spaces \n\n\n and lines\n"), std::string("\t\xE2\x82\xAC \x01"),
          std::string("\xE2\x96\x81 spelled"), text_of_words(300, 2), std::string()}) {
      const std::vector<int32_t> tokens = encode(*tokenizer, text);
      // U+2581 decodes to a space; all other text round-trips.
      EXPECT_EQ(decode(*tokenizer, tokens), text.starts_with("\xE2") ? "  spelled" : text);
      EXPECT_LE(tokens.size(), text.size());
    }
    std::filesystem::remove(folder_ / "made.model");
  }
}

// The word cache must not change tokens: repeated words and new words give the same ones.
TEST_F(SentencePieceTest, RepeatedWordsGiveTheTokensOfNewOnes) {
  const auto path = train().string();
  const auto tokenizer = make_tokenizer(path);
  const std::string text = text_of_words(500, 3);
  const std::vector<int32_t> first = encode(*tokenizer, text);
  EXPECT_EQ(encode(*tokenizer, text), first);
  std::vector<int32_t> one_by_one;
  for (const char c : text) one_by_one.push_back(c);
  EXPECT_LT(first.size(), one_by_one.size());
}

TEST_F(SentencePieceTest, PrepareWritesTheTokensOfTheWholeText) {
  const auto path = train().string();
  const auto tokenizer = make_tokenizer(path);
  const std::string text = text_of_words(30000, 4);
  write_file(folder_ / "long.txt", text);
  PrepareOptions options;
  options.files = {folder_ / "long.txt", folder_ / "text.txt"};
  options.directory = folder_ / "data";
  options.validation_share = 0.25;
  const PrepareResult result = prepare(options, *tokenizer);
  const std::vector<int32_t> found = tokens_of(result);
  std::vector<int32_t> expected = encode(*tokenizer, text);
  expected.push_back(2);
  tokenizer->encode(read_file(folder_ / "text.txt"), expected);
  expected.push_back(2);
  EXPECT_EQ(found, expected);
  EXPECT_NEAR(static_cast<double>(result.validation_tokens) / static_cast<double>(found.size()), 0.25, 0.02);
}

#ifdef LIGHTHOUSE_HAS_SENTENCEPIECE
// With the trainer's default normalizer, line ends become spaces: words on both sides of a cut must not join.
TEST_F(SentencePieceTest, PrepareKeepsWordsApartWhereLineEndsAreSpaces) {
  const std::string text = text_of_words(3000, 5);
  write_file(folder_ / "long.txt", text);
  for (const char* more : {"", " --treat_whitespace_as_suffix=true", " --byte_fallback=true"}) {
    const auto status = sentencepiece::SentencePieceTrainer::Train(
        "--model_type=bpe --vocab_size=400 --hard_vocab_limit=false --minloglevel=2 --input=" +
        (folder_ / "text.txt").string() + " --model_prefix=" + (folder_ / "usual").string() + more);
    ASSERT_TRUE(status.ok()) << status.message();
    const auto tokenizer = make_tokenizer((folder_ / "usual.model").string());
    PrepareOptions options;
    options.files = {folder_ / "long.txt"};
    options.directory = folder_ / "data";
    options.validation_share = 0;
    options.overwrite = true;
    std::vector<int32_t> expected = encode(*tokenizer, text);
    expected.push_back(tokenizer->end_of_text());
    EXPECT_TRUE(tokens_of(prepare(options, *tokenizer)) == expected) << more;
  }
}
#endif

TEST_F(SentencePieceTest, InvalidTextIsRefusedWithItsLineOrDropped) {
  const auto tokenizer = make_tokenizer(train().string());
  write_file(folder_ / "broken.txt", "one\ntwo \xFF\nthree\n\x80\nfour\n");
  PrepareOptions options;
  options.files = {folder_ / "broken.txt"};
  options.directory = folder_ / "data";
  options.validation_share = 0;
  const std::string message = message_of<InputError>([&] { prepare(options, *tokenizer); });
  EXPECT_TRUE(contains(message, "broken.txt, line 2: byte 5 of the line, 0xFF"));
  EXPECT_FALSE(std::filesystem::exists(options.directory));
  options.skip_broken = true;
  const PrepareResult result = prepare(options, *tokenizer);
  EXPECT_EQ(result.skipped_lines, 2);
  const TokenShard shard(result.shards.at(0));
  std::vector<int32_t> tokens(static_cast<size_t>(shard.size()));
  shard.read(0, tokens);
  EXPECT_EQ(decode(*tokenizer, tokens), "one\nthree\nfour\n");
}

TEST_F(SentencePieceTest, RefusesOtherFiles) {
  write_file(folder_ / "empty.model", "");
  write_file(folder_ / "text.model", "this is no model");
  for (const char* name : {"empty.model", "text.model"}) {
    const std::string path = folder_ / name;
    EXPECT_TRUE(contains(message_of<InputError>([&] { make_tokenizer(path); }), path));
  }
  const std::string model = read_file(train());
  for (size_t length = 0; length < model.size(); length += 97) {
    write_file(folder_ / "cut.model", model.substr(0, length));
    try {
      make_tokenizer((folder_ / "cut.model").string());
    } catch (const InputError&) {
    }
  }
  EXPECT_THROW(make_tokenizer((folder_ / "none.model").string()), InputError);
}

TEST_F(SentencePieceTest, RefusesInvalidTrainingOptions) {
  SentencePieceTraining training;
  training.output = folder_ / "new.model";
  EXPECT_THROW(train_sentencepiece(training), InputError);  // no text
  training.files = {folder_ / "text.txt"};
  training.vocab_size = 10;
  EXPECT_TRUE(contains(message_of<InputError>([&] { train_sentencepiece(training); }), "expected 300 to"));
  training.vocab_size = 100000;
  EXPECT_TRUE(contains(message_of<InputError>([&] { train_sentencepiece(training); }), "100,000"));
  write_file(folder_ / "broken.txt", "a\n\xFF\n");
  training.files = {folder_ / "broken.txt"};
  training.vocab_size = 300;
  EXPECT_TRUE(contains(message_of<InputError>([&] { train_sentencepiece(training); }), "line 2"));
  EXPECT_FALSE(std::filesystem::exists(training.output));
  training.output = folder_ / "text.txt/new.model";  // an invalid path is refused before the text is read
  EXPECT_TRUE(contains(message_of<InputError>([&] { train_sentencepiece(training); }), "Not a directory"));
  EXPECT_EQ(folder_.names(), (std::vector<std::string>{"broken.txt", "text.txt"}));
  training.output = folder_ / "text.txt";
  training.files = {folder_ / "text.txt"};
  EXPECT_TRUE(contains(message_of<InputError>([&] { train_sentencepiece(training); }), "already exists"));
}

}  // namespace
}  // namespace lighthouse
