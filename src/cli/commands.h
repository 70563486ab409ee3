// The subcommands: each file of this folder adds one to the program.
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

/// Checks an option for a whole number from `least` on. (CLI::PositiveNumber takes fractions, and its message writes
/// out the largest double.)
CLI::Validator at_least(int64_t least);

/// Gives an option that names files or folders what expand_path() makes of it; but a name that exists as it stands, as
/// a shell's pattern may have found it, stays.
CLI::Validator expanded_path();

/// Adds CONFIG and --set, which train, plan and config share.
void add_config_options(CLI::App& command, std::string& config, std::vector<std::string>& settings);

/// `auto` replaced by what it stands for here: a GPU if this build and this machine have one, else the CPU; bfloat16 on
/// a GPU, float32 on the CPU.
RunConfig with_device(RunConfig config);

/// The backend that a config asks for, its `auto`s replaced as above, on the GPU of this rank of a host. Throws
/// InputError for a device that this build or machine does not have, and for what the device cannot do.
std::unique_ptr<Backend> make_backend(const RunConfig& config, int local_rank = 0);

/// What the first GPU of this machine has, as make_backend() would use it for this config; nothing without one.
std::optional<Hardware> local_gpu(const RunConfig& config);

/// Adds --device and --dtype, for commands without a config; and the backend that they ask for.
void add_device_options(CLI::App& command, std::string& device, std::string& dtype);
std::unique_ptr<Backend> make_backend(const std::string& device, const std::string& dtype, bool deterministic = false);

}  // namespace lighthouse
