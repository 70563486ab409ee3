#include "lighthouse/train/checkpoint.h"

#include <gtest/gtest.h>

#include <set>

#include "file_size_limit.h"
#include "tiny_run.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

/// Weights and AdamW's state in host memory.
struct Tensors {
  explicit Tensors(const ModelConfig& model_config) : config(model_config) {
    Arena measuring;
    lay_out(measuring);
    arena = Arena(measuring.used());
    lay_out(arena);
  }
  void lay_out(Arena& in) {
    weights = lay_out_parameters(in, MemoryUse::kWeights, config);
    exp_avg = lay_out_parameters(in, MemoryUse::kOptimizer, config);
    exp_avg_sq = lay_out_parameters(in, MemoryUse::kOptimizer, config);
  }
  void fill(uint32_t seed) {
    randomize(weights, config, seed);
    randomize(exp_avg, config, seed + 1);
    randomize(exp_avg_sq, config, seed + 2);
  }
  std::vector<StateTensor> state() const {
    return {{"exp_avg", exp_avg.flat, unsharded(config)}, {"exp_avg_sq", exp_avg_sq.flat, unsharded(config)}};
  }
  std::vector<std::vector<float>> values() const {
    return {floats_of(weights.flat), floats_of(exp_avg.flat), floats_of(exp_avg_sq.flat)};
  }
  ModelConfig config;
  Arena arena;
  Parameters weights, exp_avg, exp_avg_sq;
};

fs::path save_tensors(const fs::path& directory, const CheckpointState& state, const Tensors& tensors) {
  const auto alone = make_single_process_group();
  return save_checkpoint(directory, state, tensors.weights, tensors.state(), tensors.config, *alone);
}

void load_tensors(const fs::path& checkpoint, const Tensors& tensors) {
  load_optimizer_state(checkpoint, tensors.state(), tensors.config);
  load_weights(checkpoint, tensors.weights, tensors.config);
}

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() : tensors_(tiny_config()) { tensors_.fill(1); }

  static CheckpointState state(int64_t step, bool end_of_stage = false) {
    CheckpointState result;
    result.step = step;
    result.end_of_stage = end_of_stage;
    result.config = "run: {name: \"x\"}\n# ü";
    result.environment = "a machine";
    return result;
  }
  fs::path save(int64_t step, bool end_of_stage = false) {
    return save_tensors(directory_, state(step, end_of_stage), tensors_);
  }
  std::vector<int64_t> steps() const { return steps_of(list_checkpoints(directory_)); }

  TemporaryFolder folder_;
  fs::path directory_ = folder_ / "checkpoints";
  Tensors tensors_;
};

TEST_F(CheckpointTest, EverythingComesBack) {
  CheckpointState saved = state(12, true);
  saved.tokens = int64_t{1} << 60;
  saved.seconds = 1.0 / 3;
  saved.optimizer_updates = 11;
  saved.skipped_in_a_row = 2;
  saved.evaluation_pending = true;
  saved.loader = {{"data/a-*.bin", {5, 3}}, {"data/b.bin", {int64_t{1} << 50, 0}}};
  saved.stage = "recovery";
  saved.seed = 7;
  const fs::path path = save_tensors(directory_, saved, tensors_);
  EXPECT_EQ(path, directory_ / "step-00000012");
  EXPECT_NO_THROW(verify_checkpoint(path));

  const CheckpointState read = load_state(path);
  EXPECT_EQ(read.step, saved.step);
  EXPECT_EQ(read.tokens, saved.tokens);
  EXPECT_EQ(read.seconds, saved.seconds);
  EXPECT_EQ(read.optimizer_updates, saved.optimizer_updates);
  EXPECT_EQ(read.skipped_in_a_row, saved.skipped_in_a_row);
  EXPECT_EQ(read.end_of_stage, saved.end_of_stage);
  EXPECT_EQ(read.evaluation_pending, saved.evaluation_pending);
  EXPECT_EQ(read.loader, saved.loader);
  EXPECT_EQ(read.stage, saved.stage);
  EXPECT_EQ(read.seed, saved.seed);
  EXPECT_EQ(read.config, saved.config);
  EXPECT_EQ(read.environment, saved.environment);

  Tensors loaded(tensors_.config);
  load_tensors(path, loaded);
  EXPECT_EQ(loaded.values(), tensors_.values());
  Tensors weights(tensors_.config);
  load_weights(path, weights.weights, weights.config);
  EXPECT_EQ(weights.values()[0], tensors_.values()[0]);
  EXPECT_NE(weights.values()[1], tensors_.values()[1]);
}

TEST_F(CheckpointTest, TiedEmbeddingsComeBack) {
  ModelConfig config = tiny_config();
  config.tie_word_embeddings = true;
  Tensors tied(config);
  tied.fill(3);
  const fs::path path = save_tensors(directory_, state(1), tied);
  Tensors loaded(config);
  load_tensors(path, loaded);
  EXPECT_EQ(loaded.values(), tied.values());
  Tensors untied(tiny_config());
  EXPECT_TRUE(contains(refusal([&] { load_weights(path, untied.weights, untied.config); }), "lm_head.weight"));
}

TEST_F(CheckpointTest, WeightsOfAnotherShapeAreRefused) {
  const fs::path path = save(1);
  ModelConfig config = tiny_config();
  config.intermediate_size = 32;
  const Tensors other(config);
  EXPECT_TRUE(contains(refusal([&] { load_weights(path, other.weights, config); }), "mlp."));
}

/// Checkpoints in which other tensors take the place of one moment.
class CraftedMoments : public CheckpointTest {
 protected:
  std::string refused_with(const std::vector<NamedTensor>& instead) {
    const fs::path file = save(3) / "optimizer.safetensors";
    const SafetensorsFile sound(file);
    std::vector<NamedTensor> tensors = instead;
    for (const auto& [name, tensor] : sound.tensors()) {
      if (name != "exp_avg.model.norm.weight") tensors.push_back({name, tensor});
    }
    write_safetensors(folder_ / "crafted", tensors, {});
    fs::rename(folder_ / "crafted", file);
    Tensors read(tensors_.config);
    const std::string why =
        message_of<InputError>([&] { load_optimizer_state(file.parent_path(), read.state(), read.config); });
    fs::remove_all(file.parent_path());
    return why;
  }
  /// The norm's moment from one place on.
  NamedTensor stretch(const std::string& first, int64_t elements) {
    return {"exp_avg.model.norm.weight@" + first, tensors_.exp_avg.norm.slice(0, 0, elements)};
  }
};

TEST_F(CraftedMoments, StretchesThatOverlapDoNotHideAGap) {
  const int64_t half = tensors_.config.hidden_size / 2;
  const std::string why = refused_with({stretch("0", half), stretch(std::to_string(half / 2), half)});
  EXPECT_TRUE(contains(why, "another stretch")) << why;
  EXPECT_TRUE(contains(refused_with({stretch("0", half)}), "does not hold all of exp_avg.model.norm.weight"));
  const std::string twice =
      refused_with({stretch("0", 2 * half), {"exp_avg.model.norm.weight", tensors_.exp_avg.norm}});
  EXPECT_TRUE(contains(twice, "another stretch")) << twice;
}

TEST_F(CraftedMoments, StretchBeyondEveryNumberIsRefused) {
  for (const char* first : {"9223372036854775807", "9223372036854775800", "100"}) {
    EXPECT_TRUE(contains(refused_with({stretch(first, 8)}), "does not fit the model")) << first;
  }
}

TEST_F(CheckpointTest, NothingIsWrittenOver) {
  const fs::path path = save(5);
  tensors_.fill(50);
  EXPECT_TRUE(contains(refusal([&] { save(5); }), path.string()));
  EXPECT_NO_THROW(verify_checkpoint(path));
  Tensors loaded(tensors_.config);
  load_tensors(path, loaded);
  EXPECT_NE(loaded.values(), tensors_.values());
}

TEST_F(CheckpointTest, EveryFlippedBitOfTheStateIsFound) {
  const fs::path path = save(5);
  const std::string good = read_file(path / "state.json");
  for (size_t byte = 0; byte < good.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      if (byte + 1 == good.size()) continue;  // the line break at the end says nothing
      std::string bad = good;
      bad[byte] = static_cast<char>(bad[byte] ^ (1 << bit));
      std::ofstream(path / "state.json", std::ios::binary) << bad;
      ASSERT_THROW(verify_checkpoint(path), InputError) << "bit " << bit << " of byte " << byte << ": " << bad;
      ASSERT_THROW(load_state(path), InputError);
    }
  }
}

TEST_F(CheckpointTest, FlippedBitsOfTensorsAreFoundAndNamed) {
  const fs::path path = save(5);
  for (const std::string name : {"model.safetensors", "optimizer.safetensors"}) {
    const auto size = static_cast<int64_t>(fs::file_size(path / name));
    std::set<int64_t> places{0, 1, 7, 8, 9, size / 2, size - 2, size - 1};
    for (int64_t i = 0; i < 60; ++i) places.insert(i * size / 60);
    for (int64_t byte : places) {
      for (int bit = 0; bit < 8; ++bit) {
        flip_bit(path / name, byte, bit);
        const std::string message = refusal([&] { verify_checkpoint(path); });
        ASSERT_TRUE(contains(message, name)) << "bit " << bit << " of byte " << byte << ": " << message;
        flip_bit(path / name, byte, bit);
      }
    }
  }
  EXPECT_NO_THROW(verify_checkpoint(path));
}

TEST_F(CheckpointTest, ShortAndMissingFilesAreFoundAndNamed) {
  for (const std::string name : {"model.safetensors", "optimizer.safetensors", "state.json"}) {
    const fs::path path = save(5);
    const auto size = fs::file_size(path / name);
    for (const auto length : {size - 2, size / 2, uintmax_t{8}, uintmax_t{0}}) {
      fs::resize_file(path / name, length);
      EXPECT_TRUE(contains(refusal([&] { verify_checkpoint(path); }), name)) << length;
    }
    fs::remove(path / name);
    EXPECT_TRUE(contains(refusal([&] { verify_checkpoint(path); }), name));
    fs::remove_all(path);
  }
}

TEST_F(CheckpointTest, FilesOfAnotherCheckpointAreFound) {
  const fs::path first = save(1);
  tensors_.fill(9);
  const fs::path second = save(2);
  fs::copy_file(first / "optimizer.safetensors", second / "optimizer.safetensors",
                fs::copy_options::overwrite_existing);
  EXPECT_TRUE(contains(refusal([&] { verify_checkpoint(second); }), "optimizer.safetensors"));
}

TEST_F(CheckpointTest, AnotherVersionIsNamed) {
  const fs::path path = save(5);
  std::string text = read_file(path / "state.json");
  text.replace(text.find("\"version\": 1"), 12, "\"version\": 3");
  write_file(path / "state.json", text);
  for (const auto& read :
       {std::function<void()>([&] { load_state(path); }), std::function<void()>([&] { verify_checkpoint(path); })}) {
    const std::string message = refusal(read);
    EXPECT_TRUE(contains(message, "version 3") && contains(message, "versions 1 and 2")) << message;
  }
}

TEST_F(CheckpointTest, PruningKeepsTheNewestAndStageEnds) {
  for (int64_t step = 1; step <= 8; ++step) save(step, step == 2 || step == 5);
  prune_checkpoints(directory_, 10);
  EXPECT_EQ(steps().size(), 8U);
  prune_checkpoints(directory_, 2);
  EXPECT_EQ(steps(), (std::vector<int64_t>{2, 5, 7, 8}));
  prune_checkpoints(directory_, 1);
  EXPECT_EQ(steps(), (std::vector<int64_t>{2, 5, 8}));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()), 3) << "nothing is left behind";
}

TEST_F(CheckpointTest, OnlyCheckpointsAreListedOldestFirst) {
  save(10);
  save(2);
  save(100000000);  // a ninth digit
  for (const char* name :
       {".partial-step-00000050", "step-", "step-12x", "discarded-1-step-00000003", "steps-00000004"}) {
    fs::create_directories(directory_ / name);
  }
  std::ofstream(directory_ / "step-00000011") << "a file";
  EXPECT_EQ(steps(), (std::vector<int64_t>{2, 10, 100000000}));
  remove_partial_checkpoints(directory_);
  EXPECT_FALSE(fs::exists(directory_ / ".partial-step-00000050"));
  EXPECT_TRUE(fs::exists(directory_ / "discarded-1-step-00000003"));
  EXPECT_EQ(steps().size(), 3U);
  EXPECT_TRUE(list_checkpoints(folder_ / "none").empty());
  EXPECT_NO_THROW(remove_partial_checkpoints(folder_ / "none"));
}

TEST_F(CheckpointTest, IsFoundByRunFolderOrPath) {
  const fs::path first = save(1);
  const fs::path second = save(2);
  EXPECT_EQ(find_checkpoint(folder_.path()), second);
  EXPECT_EQ(find_checkpoint(directory_), second);
  EXPECT_EQ(find_checkpoint(first), first);
  EXPECT_TRUE(contains(refusal([&] { find_checkpoint(folder_ / "none"); }), "none"));
}

TEST_F(CheckpointTest, AFullDiskLeavesWhatWasThere) {
  const fs::path first = save(1);
  {
    const FileSizeLimit full(9000);
    const std::string message = refusal([&] { save(2); });
    EXPECT_TRUE(contains(message, "model.safetensors")) << message;
  }
  EXPECT_EQ(steps(), (std::vector<int64_t>{1}));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()), 1);
  EXPECT_NO_THROW(verify_checkpoint(first));
  EXPECT_NO_THROW(verify_checkpoint(save(2)));
}

}  // namespace
}  // namespace lighthouse
