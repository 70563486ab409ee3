#include "lighthouse/data/tokenizer.h"

#include <gtest/gtest.h>

#include "core/temporary_folder.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

TEST(TokenizerTest, BytesAreTokens) {
  const auto tokenizer = make_tokenizer("bytes");
  EXPECT_EQ(tokenizer->name(), "bytes");
  EXPECT_EQ(tokenizer->vocab_size(), 257);
  EXPECT_EQ(tokenizer->end_of_text(), 256);

  std::string text;
  for (int byte = 0; byte < 256; ++byte) text += static_cast<char>(byte);
  std::vector<int32_t> tokens{7};
  tokenizer->encode(text, tokens);
  ASSERT_EQ(tokens.size(), 257);
  EXPECT_EQ(tokens[0], 7);
  std::string back;
  for (size_t i = 1; i < tokens.size(); ++i) {
    EXPECT_EQ(tokens[i], static_cast<int32_t>(i) - 1);
    back += tokenizer->decode(tokens[i]);
  }
  EXPECT_EQ(back, text);
  for (int32_t token : {-1, 256, 257, 1 << 20}) EXPECT_EQ(tokenizer->decode(token), "");
}

TEST(TokenizerTest, RefusesUnknownNames) {
  const std::string near = message_of<InputError>([] { make_tokenizer("byte"); });
  EXPECT_TRUE(contains(near, "\"byte\""));
  EXPECT_TRUE(contains(near, "bytes"));
  EXPECT_THROW(make_tokenizer("gpt2"), InputError);
  EXPECT_THROW(make_tokenizer(""), InputError);
}

}  // namespace
}  // namespace lighthouse
