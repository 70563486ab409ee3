// Helpers for tests of configs.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "lighthouse/core/error.h"

namespace lighthouse {

/// The message of the InputError that `action` throws, or "" if it throws none.
inline std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

/// A folder of files for one test.
class ConfigFiles : public ::testing::Test {
 protected:
  ConfigFiles() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(::testing::TempDir()) / (std::string("lighthouse_config_") + test->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~ConfigFiles() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }

  std::filesystem::path folder_;
};

/// Two stages on a small model; line 1 is "run:".
inline const char* const kExample = R"(run: {name: example, seed: 7}
model:
  preset: tiny
  num_hidden_layers: 6
attention:
  lighthouse:
    levels: 3
    pooling_factor: 4
    top_k: 32
    tile: 16
    scorer: norm
    dense_layers: [0, -1]
data:
  train:
    - {path: "data/a-*.bin", weight: 2.5}
    - data/b.bin
  validation: data/val.bin
batch: {sequence_length: 1024, micro_batch_size: 2, global_batch_size: 8}
stages:
  - {name: pretrain, attention: lighthouse, steps: 100, dense_every: 4}
  - {name: recovery, attention: dense, steps: 50, learning_rate_factor: 0.5}
optimizer: {learning_rate: 2.0e-3, beta1: 0.9}
schedule: {warmup_steps: 10, decay: cosine, min_ratio: 0.01}
)";

}  // namespace lighthouse
