// The subcommands; each file of this folder adds one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/ops/backend.h"

namespace CLI {
class App;
class Validator;
}  // namespace CLI

namespace lighthouse {

void add_train_command(CLI::App& program);
void add_prepare_command(CLI::App& program);
void add_data_command(CLI::App& program);
void add_tokenizer_command(CLI::App& program);
void add_export_command(CLI::App& program);
void add_import_command(CLI::App& program);
void add_config_command(CLI::App& program);
void add_plan_command(CLI::App& program);
void add_eval_command(CLI::App& program);
void add_generate_command(CLI::App& program);
void add_compare_command(CLI::App& program);
void add_bench_command(CLI::App& program);
void add_bench_attention_command(CLI::App& bench);
void add_bench_step_command(CLI::App& bench);
void add_bench_generate_command(CLI::App& bench);

/// Checks that an option is a whole number of at least `least`. (CLI::PositiveNumber also accepts fractions, and its
/// message prints the largest double.)
CLI::Validator at_least(int64_t least);

/// Expands the path in an option with expand_path(), unless a file of the unexpanded name exists, which a shell's
/// pattern may have found.
CLI::Validator expanded_path();

/// Adds CONFIG and --set, which several commands share.
void add_config_options(CLI::App& command, std::string& config, std::vector<std::string>& settings);

/// Replaces `auto`: the device becomes a GPU if this build and machine have one, else the CPU; the dtype becomes
/// bfloat16 on a GPU, float32 on the CPU.
RunConfig with_device(RunConfig config);

/// Makes the backend for a config, after with_device(), on GPU number `local_rank`. Throws InputError for a device that
/// this build or machine lacks and for settings that the device does not support.
std::unique_ptr<Backend> make_backend(const RunConfig& config, int local_rank = 0);

/// The properties of this machine's first GPU for this config; nullopt without a GPU.
std::optional<Hardware> local_gpu(const RunConfig& config);

/// Replaces the device's rates by those of the config, where they are set.
Hardware with_configured_rates(Hardware hardware, const HardwareSection& section);

/// Adds --device and --dtype to a command without a config; make_backend() makes the backend for them.
void add_device_options(CLI::App& command, std::string& device, std::string& dtype);
std::unique_ptr<Backend> make_backend(const std::string& device, const std::string& dtype, bool deterministic = false);

}  // namespace lighthouse
