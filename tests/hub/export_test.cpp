#include "lighthouse/hub/export.h"

#include <gtest/gtest.h>

#include "hugging_face_folder.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/float16.h"
#include "lighthouse/data/sentencepiece.h"
#include "lighthouse/data/tokenizer.h"
#include "lighthouse/hub/tokenizer_files.h"

#ifdef LIGHTHOUSE_HAS_SENTENCEPIECE
#include <sentencepiece_trainer.h>
#endif

namespace lighthouse {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class ExportTest : public ::testing::Test {
 protected:
  ExportTest() { import_hugging_face({source_.path, checkpoint_, "bytes", std::nullopt, std::nullopt}); }

  ExportResult do_export(std::optional<DType> dtype = std::nullopt, int64_t max_shard = 1 << 30) const {
    return export_hugging_face({checkpoint_, exported_, dtype, max_shard, ""});
  }
  Json json(const char* name) const { return Json::parse(read_file(exported_ / name)); }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(exported_)) found.push_back(entry.path().filename());
    std::sort(found.begin(), found.end());
    return found;
  }

  TemporaryFolder folder_;
  HuggingFaceFolder source_{folder_};
  fs::path checkpoint_ = folder_ / "checkpoint";
  fs::path exported_ = folder_ / "exported";
};

TEST_F(ExportTest, WritesTransformersFiles) {
  const ExportResult result = do_export();
  EXPECT_EQ(result.files, 1);
  EXPECT_EQ(names(), (std::vector<std::string>{"config.json", "generation_config.json", "model.safetensors",
                                               "special_tokens_map.json", "tokenizer.json", "tokenizer.model",
                                               "tokenizer_config.json"}));
  const Json config = json("config.json");
  for (const char* key : {"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "rms_norm_eps", "rope_theta", "max_position_embeddings",
                          "tie_word_embeddings", "model_type", "architectures", "hidden_act"}) {
    EXPECT_EQ(config.at(key), source_.config.at(key)) << key;
  }
  EXPECT_EQ(config.at("head_dim"), 8);
  EXPECT_EQ(config.at("torch_dtype"), "float32");
  EXPECT_EQ(config.at("eos_token_id"), 256);
  EXPECT_EQ(json("generation_config.json").at("eos_token_id"), 256);
  EXPECT_EQ(json("tokenizer_config.json").at("add_prefix_space"),
            false);  // otherwise llama.cpp adds a space before text
}

TEST_F(ExportTest, SplitsWeightsIntoFilesOfLimitedSize) {
  constexpr int64_t kLargest = 10'000;
  const ExportResult result = do_export(std::nullopt, kLargest);
  EXPECT_GT(result.files, 2);
  const Json index = json("model.safetensors.index.json");
  EXPECT_EQ(index.at("metadata").at("total_size"), result.bytes);
  std::map<std::string, std::unique_ptr<SafetensorsFile>> files;
  for (const NamedTensor& named : source_.tensors) {
    const std::string file = index.at("weight_map").at(named.name);
    if (files.count(file) == 0) files[file] = std::make_unique<SafetensorsFile>(exported_ / file);
    EXPECT_TRUE(files[file]->has(named.name));
  }
  EXPECT_EQ(std::ssize(files), result.files);
  for (const auto& [name, file] : files) {
    int64_t bytes = 0;
    for (const auto& [tensor_name, tensor] : file->tensors()) bytes += tensor.bytes();
    EXPECT_TRUE(bytes <= kLargest || file->tensors().size() == 1) << name;
  }
}

TEST_F(ExportTest, RoundsToBFloat16AndWidensAgain) {
  do_export(DType::kBFloat16);
  const SafetensorsFile rounded(exported_ / "model.safetensors");
  for (const NamedTensor& named : source_.tensors) {
    const Tensor& tensor = rounded.at(named.name, named.tensor.shape(), DType::kBFloat16);
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      ASSERT_EQ(tensor.data<BFloat16>()[i].bits, to_bfloat16(named.tensor.data<float>()[i]).bits) << named.name;
    }
  }
  EXPECT_EQ(json("config.json").at("torch_dtype"), "bfloat16");
  // A bfloat16 checkpoint stays bfloat16 without --dtype.
  const fs::path again = folder_ / "again";
  import_hugging_face({exported_, folder_ / "rounded", "", std::nullopt, std::nullopt});
  export_hugging_face({folder_ / "rounded", again, DType::kFloat32, 1 << 30, ""});
  const SafetensorsFile wide(again / "model.safetensors");
  const Tensor& norm = wide.at("model.norm.weight", {32}, DType::kFloat32);
  EXPECT_EQ(norm.data<float>()[3], 1.0f);
}

TEST_F(ExportTest, Float16StaysUnchangedByDefault) {
  std::vector<std::vector<Float16>> halves;
  for (NamedTensor& named : source_.tensors) {
    std::vector<Float16>& values = halves.emplace_back(static_cast<size_t>(named.tensor.numel()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i].bits = static_cast<uint16_t>(0x2c00 + i % 500);  // 1/16 to 3/32
    named.tensor = Tensor(values.data(), named.tensor.shape(), DType::kFloat16);
  }
  source_.write();
  import_hugging_face({source_.path, folder_ / "half", "bytes", std::nullopt, std::nullopt});
  export_hugging_face({folder_ / "half", exported_, std::nullopt, 1 << 30, ""});
  EXPECT_EQ(read_file(exported_ / "model.safetensors"), read_file(source_.path / "model.safetensors"));
  EXPECT_EQ(json("config.json").at("torch_dtype"), "float16");

  export_hugging_face({folder_ / "half", folder_ / "wide", DType::kFloat32, 1 << 30, ""});
  const SafetensorsFile wide(folder_ / "wide/model.safetensors");
  const Tensor& norm = wide.at("model.norm.weight", {32}, DType::kFloat32);
  EXPECT_EQ(norm.data<float>()[0], 0.0625f);
  EXPECT_EQ(norm.data<float>()[31], static_cast<float>(Float16{0x2c00 + 31}));
}

TEST_F(ExportTest, ByteTokenizerHasATokenForEachByte) {
  do_export();
  EXPECT_EQ(make_tokenizer(exported_.string())->name(), "bytes");
  const auto tokenizer = make_tokenizer((exported_ / "tokenizer.json").string());
  EXPECT_EQ(tokenizer->vocab_size(), 257);
  EXPECT_EQ(tokenizer->end_of_text(), 256);
  for (int32_t byte = 0; byte < 256; ++byte)
    EXPECT_EQ(tokenizer->decode(byte), std::string(1, static_cast<char>(byte)));
  EXPECT_EQ(json("tokenizer.json").at("model").at("vocab").size(), 256);
}

TEST_F(ExportTest, ByteTokenizerIsASentencePieceModelToo) {
  do_export();
  if (!has_sentencepiece()) GTEST_SKIP() << "built without SentencePiece";
  const auto tokenizer = make_tokenizer((exported_ / "tokenizer.model").string());
  EXPECT_EQ(tokenizer->vocab_size(), 259);
  EXPECT_EQ(tokenizer->end_of_text(), 256);
  std::string text = "  two  spaces\r\n\ttab <0x41> <unk> <|endoftext|> h\xC3\xA9 \xF0\x9F\x9A\x80 ";
  for (char c = 1; c < 127; ++c) text += c;
  std::vector<int32_t> tokens, bytes;
  tokenizer->encode(text, tokens);
  make_tokenizer("bytes")->encode(text, bytes);
  EXPECT_EQ(tokens, bytes);
  for (int32_t byte = 0; byte < 256; ++byte)
    EXPECT_EQ(tokenizer->decode(byte), std::string(1, static_cast<char>(byte)));
}

#ifdef LIGHTHOUSE_HAS_SENTENCEPIECE
TEST_F(ExportTest, WritesTheSpecialTokensOfASentencePieceModel) {
  std::string text;
  for (int i = 0; i < 500; ++i) text += "word" + std::to_string(i * i) + " and\n";
  write_file(folder_ / "text.txt", text);
  const auto train = [&](const std::string& more) {
    const auto status = sentencepiece::SentencePieceTrainer::Train(
        "--vocab_size=300 --byte_fallback=true --hard_vocab_limit=false --minloglevel=2 --model_prefix=" +
        (folder_ / "made").string() + " --input=" + (folder_ / "text.txt").string() + more);
    EXPECT_TRUE(status.ok()) << status.message();
  };
  const std::string model = (folder_ / "made.model").string();
  const std::string plain = " --model_type=bpe --normalization_rule_name=identity --remove_extra_whitespaces=false";
  const auto exported = [&] {
    fs::remove_all(exported_);
    fs::create_directories(exported_);
    export_tokenizer(model, 64, exported_);
    return Json::parse(read_file(exported_ / "tokenizer_config.json"));
  };
  train(plain + " --bos_piece=<bos> --eos_piece=[EOS] --unk_piece=<?>");
  EXPECT_EQ(exported()["bos_token"], "<bos>");
  EXPECT_EQ(exported()["eos_token"], "[EOS]");
  EXPECT_EQ(exported()["unk_token"], "<?>");
  EXPECT_EQ(exported()["add_prefix_space"], true);
  EXPECT_FALSE(exported_tokens_may_differ(model));
  train(plain + " --add_dummy_prefix=false --bos_id=-1");
  EXPECT_EQ(exported()["bos_token"], "</s>");
  EXPECT_EQ(exported()["add_prefix_space"], false);
  fs::rename(model, folder_ / "made.spm");  // make_tokenizer also accepts this name
  export_tokenizer((folder_ / "made.spm").string(), 64, exported_);
  EXPECT_EQ(read_file(exported_ / "tokenizer.model"), read_file(folder_ / "made.spm"));
  for (const char* other : {" --model_type=unigram", " --model_type=bpe"}) {  // the latter normalises
    train(other);
    EXPECT_TRUE(exported_tokens_may_differ(model)) << other;
  }
}
#endif

TEST_F(ExportTest, OverwritesNothing) {
  fs::create_directories(exported_);
  do_export();  // an empty folder may be replaced
  const auto before = names();
  EXPECT_TRUE(contains(message_of<InputError>([&] { do_export(); }), "already exists"));
  EXPECT_EQ(names(), before);
}

TEST_F(ExportTest, TwoIntoTheSameFolderDoNotMix) {
  bool tried = false;
  export_hugging_face({checkpoint_, exported_, std::nullopt, 1 << 12, ""}, [&](int64_t, int64_t) {
    if (tried) return;
    tried = true;
    EXPECT_TRUE(contains(message_of<InputError>([&] { do_export(); }), "another process is writing"));
  });
  EXPECT_TRUE(tried);
  const auto whole = names();
  fs::rename(exported_, folder_ / "first");
  export_hugging_face({checkpoint_, exported_, std::nullopt, 1 << 12, ""});
  EXPECT_EQ(names(), whole);
}

TEST_F(ExportTest, RefusesADamagedCheckpointAndLeavesNothing) {
  std::string bytes = read_file(checkpoint_ / "model.safetensors");
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(checkpoint_ / "model.safetensors", bytes);
  EXPECT_TRUE(contains(message_of<InputError>([&] { do_export(); }), "checksum"));
  EXPECT_FALSE(fs::exists(exported_));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 2);
}

TEST_F(ExportTest, StoppedLeavesNothing) {
  const auto stop = [](int64_t, int64_t) { throw Interrupted(15); };
  EXPECT_THROW(export_hugging_face({checkpoint_, exported_, std::nullopt, 1 << 30, ""}, stop), Interrupted);
  EXPECT_THROW(import_hugging_face({source_.path, folder_ / "other", "bytes", std::nullopt, std::nullopt}, stop),
               Interrupted);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 2);
}

TEST_F(ExportTest, KeepsTheTokenizerOfAnImport) {
  do_export();
  write_file(exported_ / "tokenizer_config.json",
             R"({"eos_token": "<|endoftext|>", "chat": 1})");  // not the program's byte tokenizer
  fs::remove(exported_ / "tokenizer.model");
  write_file(exported_ / "generation_config.json", R"({"temperature": 0.5})");
  import_hugging_face({exported_, folder_ / "second", "", std::nullopt, std::nullopt});
  export_hugging_face({folder_ / "second", folder_ / "out", std::nullopt, 1 << 30, ""});
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "generation_config.json"}) {
    EXPECT_EQ(read_file(folder_ / "out" / name), read_file(exported_ / name)) << name;
  }
  // The files are in the checkpoint; if they have moved, --tokenizer names them.
  fs::rename(folder_ / "second" / "tokenizer", folder_ / "moved");
  const ExportOptions options{folder_ / "second", folder_ / "out2", std::nullopt, 1 << 30, ""};
  EXPECT_TRUE(contains(message_of<InputError>([&] { export_hugging_face(options); }), "--tokenizer"));
  ExportOptions told = options;
  told.tokenizer = (folder_ / "moved").string();
  EXPECT_NO_THROW(export_hugging_face(told));
}

}  // namespace
}  // namespace lighthouse
