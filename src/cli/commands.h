// The subcommands: each file of this folder adds one to the program.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"
#include "lighthouse/ops/backend.h"

namespace CLI {
class App;
}

namespace lighthouse {

void add_train_command(CLI::App& program);
void add_prepare_command(CLI::App& program);
void add_config_command(CLI::App& program);
void add_plan_command(CLI::App& program);
void add_generate_command(CLI::App& program);
void add_compare_command(CLI::App& program);
void add_bench_command(CLI::App& program);

/// Adds CONFIG and --set, which train, plan and config share.
void add_config_options(CLI::App& command, std::string& config, std::vector<std::string>& settings);

/// The backend that a config asks for. Throws InputError for a device that this build or machine does not have.
std::unique_ptr<Backend> make_backend(DeviceChoice device);

}  // namespace lighthouse
