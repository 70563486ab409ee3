#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/temporary_folder.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/data/tokenizer.h"

namespace lighthouse {
namespace {

constexpr const char* kByteLevel = R"({
  "decoder": {"type": "ByteLevel"},
  "added_tokens": [{"id": 3, "content": "<|endoftext|>", "special": true}, {"id": 4, "content": "<tool>"}],
  "model": {"type": "BPE", "vocab": {"a": 0, "Ġb": 1, "Ċ": 2, "Ã©": 5}, "merges": []}})";

TEST(HuggingFaceTokenizerTest, DecodesByteLevelBpe) {
  const TemporaryFolder folder;
  write_file(folder / "tokenizer.json", kByteLevel);
  for (const std::string& name : {folder.path().string(), (folder / "tokenizer.json").string()}) {
    const auto tokenizer = make_tokenizer(name);
    EXPECT_EQ(tokenizer->vocab_size(), 6);
    EXPECT_EQ(tokenizer->end_of_text(), 3);
    const std::vector<std::string> expected{"a", " b", "\n", "", "<tool>", "\xC3\xA9"};
    for (int32_t token = 0; token < 6; ++token) {
      EXPECT_EQ(tokenizer->decode(token), expected[static_cast<size_t>(token)]);
    }
    EXPECT_EQ(tokenizer->decode(6), "");
    std::vector<int32_t> tokens;
    EXPECT_TRUE(contains(message_of<InputError>([&] { tokenizer->encode("a", tokens); }), "prepare_hf.py"));
  }
}

TEST(HuggingFaceTokenizerTest, DecodesSentencePiece) {
  const TemporaryFolder folder;
  write_file(folder / "tokenizer.json", R"({"decoder": {"type": "ByteFallback"},
    "added_tokens": [{"id": 0, "content": "</s>", "special": true}],
    "model": {"type": "Unigram", "vocab": [["</s>", 0], ["<0x0A>", -1], ["▁two▁words", -2]]}})");
  const auto tokenizer = make_tokenizer(folder.path().string());
  EXPECT_EQ(tokenizer->decode(1), "\n");
  EXPECT_EQ(tokenizer->decode(2), " two words");
}

TEST(HuggingFaceTokenizerTest, TakesEndOfTextFromItsConfig) {
  const TemporaryFolder folder;
  write_file(folder / "tokenizer.json", kByteLevel);
  write_file(folder / "tokenizer_config.json", R"({"eos_token": {"content": "<tool>"}})");
  EXPECT_EQ(make_tokenizer(folder.path().string())->end_of_text(), 4);
}

TEST(HuggingFaceTokenizerTest, EndOfTextMayBeOnlyInTheVocabulary) {
  const TemporaryFolder folder;
  write_file(folder / "tokenizer_config.json", R"({"eos_token": "</s>"})");
  for (const char* vocabulary : {R"({"type": "BPE", "vocab": {"a": 0, "</s>": 1, "b": 2}, "merges": []})",
                                 R"({"type": "Unigram", "vocab": [["a", 0], ["</s>", 0], ["b", 0]]})"}) {
    for (const char* added : {"", R"("added_tokens": [{"id": 3, "content": "<|endoftext|>", "special": true}],)"}) {
      write_file(folder / "tokenizer.json", fmt::format("{{{} \"model\": {}}}", added, vocabulary));
      const auto tokenizer = make_tokenizer(folder.path().string());
      EXPECT_EQ(tokenizer->end_of_text(), 1);
      EXPECT_EQ(tokenizer->decode(1), "");
      EXPECT_EQ(tokenizer->decode(2), "b");
    }
  }
}

TEST(HuggingFaceTokenizerTest, RefusesAMissingEndOfText) {
  const TemporaryFolder folder;
  write_file(folder / "tokenizer.json", kByteLevel);
  write_file(folder / "tokenizer_config.json", R"({"eos_token": "<eos>"})");
  EXPECT_TRUE(contains(message_of<InputError>([&] { make_tokenizer(folder.path().string()); }), "<eos>"));
}

TEST(HuggingFaceTokenizerTest, RefusesOtherFiles) {
  const TemporaryFolder folder;
  for (const char* text :
       {"", "{", "[]", "{\"model\": 3}", "{\"model\": {}}", "{\"model\": {\"vocab\": {\"a\": \"b\"}}}",
        "{\"model\": {\"vocab\": {\"a\": 99999999999}}}", "{\"model\": {\"vocab\": {\"a\": -1}}}",
        "{\"model\": {\"vocab\": [3]}}", "{\"model\": {\"vocab\": {\"a\": 0}}}"}) {
    write_file(folder / "tokenizer.json", text);
    const std::string message = message_of<InputError>([&] { make_tokenizer(folder.path().string()); });
    EXPECT_TRUE(contains(message, "tokenizer.json")) << text;
  }
  EXPECT_TRUE(
      contains(message_of<InputError>([&] { make_tokenizer("/none/tokenizer.json"); }), "/none/tokenizer.json"));
}

}  // namespace
}  // namespace lighthouse
