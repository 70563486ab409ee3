// A folder for one test, with data and the config of a model so small that a run takes a moment.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "program.h"

namespace lighthouse::test {

std::string read_text(const std::filesystem::path& path);
void write_text(const std::filesystem::path& path, const std::string& text);
/// Flips one bit of a file.
void flip_bit(const std::filesystem::path& path, std::size_t byte);

/// Deterministic text that resembles English.
std::string sample_text(int64_t bytes);

/// A shard in llm.c's 16-bit format with the given header and tokens, valid or not.
std::string shard_bytes(const std::vector<int32_t>& header, const std::vector<uint16_t>& tokens);
/// A valid shard.
std::string shard_of_text(const std::string& text);

/// The parts of metrics.jsonl that equal runs have in common: step, loss, gradient norm, learning rate and validation
/// losses, digit by digit. Expects steps 1, 2, ... in order, and each validation after its step.
std::vector<std::string> losses_and_norms(const std::filesystem::path& metrics);

class Workspace : public ::testing::Test {
 protected:
  Workspace();
  ~Workspace() override;

  /// A path in the folder.
  std::filesystem::path at(const std::string& name) const { return folder_ / name; }
  std::string path(const std::string& name) const { return at(name).string(); }

  /// Writes data/train-00000.bin and data/val-00000.bin.
  void write_data() const;
  /// The text of the config: stages "sparse" (Lighthouse, 6 steps) and "recovery" (dense, 4), checkpoints every 4.
  std::string tiny_config() const;
  /// Writes it to run.yaml and returns its path.
  std::string write_config() const;

  /// `lighthouse train run.yaml` into runs/NAME.
  Outcome train(const std::string& run, const Arguments& more = {}) const;
  Arguments train_arguments(const std::string& run, const Arguments& more = {}) const;
  std::filesystem::path run_folder(const std::string& run) const { return at("runs") / run; }
  std::filesystem::path checkpoint(const std::string& run, int64_t step) const;

  /// `lighthouse ARGUMENTS` as a shell's command.
  static std::string command_of(const std::string& arguments);
  /// A shell's command in the folder.
  Outcome shell(const std::string& command) const;

  /// The contents of every file below the folder, except run locks, which depend on processes.
  std::map<std::string, std::string> snapshot() const;

  std::filesystem::path folder_;
};

/// Expects exit code 2, nothing on standard output, and every one of `words` in the message.
void expect_refusal(const Outcome& outcome, const std::vector<std::string>& words);

/// Expects exit code 0; prints the output otherwise.
void expect_done(const Outcome& outcome);

}  // namespace lighthouse::test
