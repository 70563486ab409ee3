#include "lighthouse/train/model_tokenizer.h"

#include <gtest/gtest.h>

#include "core/temporary_folder.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"

namespace lighthouse {
namespace {

constexpr const char* kTokenizer = R"({"decoder": {"type": "ByteLevel"},
  "added_tokens": [{"id": 2, "content": "<|endoftext|>", "special": true}],
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}})";
constexpr const char* kLarger = R"({"decoder": {"type": "ByteLevel"},
  "added_tokens": [{"id": 3, "content": "<|endoftext|>", "special": true}],
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2}, "merges": []}})";

class ModelTokenizerTest : public ::testing::Test {
 protected:
  ModelTokenizerTest() {
    write_file(folder_ / "tokenizer.json", kTokenizer);
    model_.vocab_size = 4;
    model_.unused_tokens = 1;
    model_.tokenizer = (folder_ / "tokenizer.json").string();
    state_.tokenizer = tokenizer_digest(model_.tokenizer);
  }

  std::string refusal(const std::string& moved = "") const {
    return message_of<InputError>([&] { load_tokenizer(state_, model_, moved); });
  }

  TemporaryFolder folder_;
  ModelConfig model_;
  CheckpointState state_;
};

TEST_F(ModelTokenizerTest, LoadsTheOneThatItWasTrainedWith) {
  EXPECT_EQ(load_tokenizer(state_, model_, "")->vocab_size(), 3);
  model_.tokenizer = folder_.path().string();  // the same file by its folder
  EXPECT_EQ(load_tokenizer(state_, model_, "")->vocab_size(), 3);
}

TEST_F(ModelTokenizerTest, RefusesOneThatHasChanged) {
  write_file(folder_ / "tokenizer.json", std::string(kTokenizer) + " ");
  EXPECT_TRUE(contains(refusal(), model_.tokenizer));
  EXPECT_TRUE(contains(refusal(), "not the tokenizer that the model was trained with"));
  EXPECT_EQ(load_tokenizer(state_, model_, model_.tokenizer)->vocab_size(), 3) << "asked for by name, it is taken";
  state_.tokenizer = "";  // a checkpoint of an older program
  EXPECT_EQ(load_tokenizer(state_, model_, "")->vocab_size(), 3);
}

TEST_F(ModelTokenizerTest, FindsOneThatHasMoved) {
  std::filesystem::create_directory(folder_ / "there");
  std::filesystem::rename(folder_ / "tokenizer.json", folder_ / "there" / "tokenizer.json");
  EXPECT_TRUE(contains(refusal(), model_.tokenizer));
  EXPECT_TRUE(contains(refusal(), "--tokenizer"));
  EXPECT_EQ(load_tokenizer(state_, model_, (folder_ / "there").string())->vocab_size(), 3);
  EXPECT_TRUE(contains(refusal((folder_ / "nowhere.json").string()), "nowhere.json"));
}

TEST_F(ModelTokenizerTest, RefusesOneWithMoreTokensThanTheModel) {
  write_file(folder_ / "larger.json", kLarger);
  EXPECT_TRUE(contains(refusal((folder_ / "larger.json").string()), "4 tokens and the model only 3"));
  EXPECT_TRUE(contains(refusal("bytes"), "257 tokens and the model only 3"));
}

TEST(TokenizerDigestTest, IsOfTheFileThatIsRead) {
  const TemporaryFolder folder;
  write_file(folder / "tokenizer.json", kTokenizer);
  const std::string digest = tokenizer_digest(folder.path().string());
  EXPECT_EQ(digest, tokenizer_digest((folder / "tokenizer.json").string()));
  write_file(folder / "larger.json", kLarger);
  EXPECT_NE(digest, tokenizer_digest((folder / "larger.json").string()));
  EXPECT_EQ(tokenizer_digest("bytes"), "bytes");
  write_file(folder / "tokenizer_config.json", R"({"lighthouse_tokenizer": "bytes"})");
  EXPECT_EQ(tokenizer_digest(folder.path().string()), "bytes");
  EXPECT_THROW(tokenizer_digest((folder / "none.json").string()), InputError);
}

}  // namespace
}  // namespace lighthouse
