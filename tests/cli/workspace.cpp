#include "workspace.h"

#include <unistd.h>

#include <array>
#include <cctype>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace lighthouse::test {
namespace {

namespace fs = std::filesystem;

/// A test's name as a folder name.
std::string folder_name() {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string name = std::string(test->test_suite_name()) + "_" + test->name();
  for (char& c : name) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return "lighthouse_cli_" + name + "_" + std::to_string(getpid());
}

/// The text of a number in a line of JSON; "" if it is missing.
std::string number_text(const std::string& line, const std::string& key) {
  const size_t begin = line.find("\"" + key + "\":");
  if (begin == std::string::npos) return "";
  const size_t value = begin + key.size() + 3;
  return line.substr(value, line.find_first_of(",}", value) - value);
}

}  // namespace

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_text(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

void flip_bit(const fs::path& path, std::size_t byte) {
  std::string bytes = read_text(path);
  bytes.at(byte) = static_cast<char>(bytes[byte] ^ 1);
  write_text(path, bytes);
}

std::string sample_text(int64_t bytes) {
  constexpr std::array<const char*, 12> kWords{"the",   "light", "house",  "of",    "stone", "stands",
                                               "above", "a",     "winter", "ocean", "and",   "waits"};
  std::string text;
  uint32_t state = 1;
  while (static_cast<int64_t>(text.size()) < bytes) {
    state = state * 1664525 + 1013904223;
    text += kWords[(state >> 16) % kWords.size()];
    text += (state >> 28) == 0 ? ".\n" : " ";
  }
  text.resize(static_cast<size_t>(bytes));
  return text;
}

std::string shard_bytes(const std::vector<int32_t>& header, const std::vector<uint16_t>& tokens) {
  std::string bytes(1024 + 2 * tokens.size(), '\0');
  std::memcpy(bytes.data(), header.data(), 4 * header.size());
  std::memcpy(bytes.data() + 1024, tokens.data(), 2 * tokens.size());
  return bytes;
}

std::string shard_of_text(const std::string& text) {
  const std::vector<uint16_t> tokens(text.begin(), text.end());
  return shard_bytes({20240520, 1, static_cast<int32_t>(tokens.size())}, tokens);
}

std::vector<std::string> losses_and_norms(const fs::path& metrics) {
  std::vector<std::string> found;
  int steps = 0;
  std::ifstream file(metrics);
  for (std::string line; std::getline(file, line);) {
    const bool validation = line.find("\"validation_loss\"") != std::string::npos;
    if (!validation) ++steps;
    const std::string step = number_text(line, "step");
    EXPECT_EQ(step, std::to_string(steps)) << "in " << metrics;
    std::string text = "step " + step;
    for (const char* key : {"loss", "grad_norm", "lr", "validation_loss", "validation_loss_dense"}) {
      const std::string number = number_text(line, key);
      if (!number.empty()) text += std::string(" ") + key + " " + number;
    }
    found.push_back(text);
  }
  return found;
}

Workspace::Workspace() : folder_(fs::path(::testing::TempDir()) / folder_name()) {
  fs::remove_all(folder_);
  fs::create_directories(folder_);
}

Workspace::~Workspace() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

void Workspace::write_data() const {
  const std::string text = sample_text(20000);
  write_text(at("data/train-00000.bin"), shard_of_text(text.substr(0, 16000)));
  write_text(at("data/val-00000.bin"), shard_of_text(text.substr(16000)));
}

std::string Workspace::tiny_config() const {
  return "run: {name: tiny, directory: " + path("runs/tiny") + ", seed: 3}\n" + R"(model:
  tokenizer: bytes
  vocab_size: 257
  hidden_size: 16
  intermediate_size: 32
  num_hidden_layers: 2
  num_attention_heads: 2
  num_key_value_heads: 1
attention:
  lighthouse: {levels: 3, pooling_factor: 2, top_k: 8, tile: 4, dense_layers: [0]}
)" + "data: {train: \"" +
         path("data/train-*.bin") + "\", validation: \"" + path("data/val-*.bin") + "\"}\n" +
         R"(batch: {sequence_length: 128, micro_batch_size: 1, global_batch_size: 2}
stages:
  - {name: sparse, attention: lighthouse, steps: 6}
  - {name: recovery, attention: dense, steps: 4}
optimizer: {learning_rate: 1.0e-2}
schedule: {warmup_steps: 2, decay: linear, min_ratio: 0.1}
checkpoint: {every: 4, keep: 3}
evaluation: {every: 5, batches: 2}
)";
}

std::string Workspace::write_config() const {
  write_text(at("run.yaml"), tiny_config());
  return path("run.yaml");
}

Arguments Workspace::train_arguments(const std::string& run, const Arguments& more) const {
  Arguments arguments{"train", write_config(), "--set", "run.directory=" + run_folder(run).string()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Outcome Workspace::train(const std::string& run, const Arguments& more) const {
  return lighthouse(train_arguments(run, more));
}

std::string Workspace::command_of(const std::string& arguments) {
  std::string command = "'";
  return command.append(lighthouse_program()).append("' ").append(arguments);
}

Outcome Workspace::shell(const std::string& command) const {
  return Process("/bin/sh", {"-c", "cd '" + folder_.string() + "' && " + command}).wait();
}

fs::path Workspace::checkpoint(const std::string& run, int64_t step) const {
  std::string digits = std::to_string(step);
  digits.insert(0, 8 - digits.size(), '0');
  return run_folder(run) / "checkpoints" / ("step-" + digits);
}

std::map<std::string, std::string> Workspace::snapshot() const {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    if (entry.is_regular_file() && entry.path().filename() != ".lock") {
      files[fs::relative(entry.path(), folder_).string()] = read_text(entry.path());
    }
  }
  return files;
}

void expect_refusal(const Outcome& outcome, const std::vector<std::string>& words) {
  EXPECT_EQ(outcome.exit_code, 2) << "signal " << outcome.signal << '\n' << outcome.err;
  EXPECT_EQ(outcome.out, "");
  for (const std::string& word : words) {
    EXPECT_NE(outcome.err.find(word), std::string::npos) << "no \"" << word << "\" in:\n" << outcome.err;
  }
}

void expect_done(const Outcome& outcome) {
  EXPECT_EQ(outcome.exit_code, 0) << "signal " << outcome.signal << '\n' << outcome.out << outcome.err;
}

}  // namespace lighthouse::test
