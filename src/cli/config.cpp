// lighthouse config: the resolved config.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "commands.h"
#include "lighthouse/config/load.h"

namespace lighthouse {
namespace {

struct Options {
  std::string config;
  std::vector<std::string> settings;
  bool reference = false;
};

void run(const Options& options) {
  if (options.reference) {
    fmt::print("{}", config_reference());
    return;
  }
  if (options.config.empty()) throw CLI::RequiredError("CONFIG");
  fmt::print("{}", to_yaml(load_config(options.config, options.settings)));
}

}  // namespace

void add_config_command(CLI::App& program) {
  CLI::App* command = program.add_subcommand("config", "Print the resolved config: every value spelled out");
  auto options = std::make_shared<Options>();
  add_config_options(*command, options->config, options->settings);
  command->get_option("CONFIG")->required(false);  // --reference needs none
  command->add_flag("--reference", options->reference, "Print every key with its meaning instead");
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
