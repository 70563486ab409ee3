// lighthouse config: prints the resolved config.
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

/// The attention of each stage's layers, as comments: "# 1 to 4: lighthouse + window 256".
std::string layers_of(const RunConfig& config) {
  std::string text;
  for (const StageSection& stage : config.stages) {
    text += fmt::format("\n# The layers in the steps of stage \"{}\":\n", stage.name);
    const auto layers = attention_of_layers(stage.attention, config.attention, config.model);
    for (size_t begin = 0, end = 0; begin < layers.size(); begin = end) {
      while (end < layers.size() && layers[end] == layers[begin]) ++end;
      const std::string range = end - begin > 1 ? fmt::format("{} to {}", begin, end - 1) : std::to_string(begin);
      text += fmt::format("#   {}: {}\n", range, describe(layers[begin]));
    }
  }
  return text;
}

void run(const Options& options) {
  if (options.reference) {
    fmt::print("{}", config_reference());
    return;
  }
  if (options.config.empty()) throw CLI::RequiredError("CONFIG");
  const RunConfig config = load_config(options.config, options.settings);
  fmt::print("{}{}", to_yaml(config), layers_of(config));
}

}  // namespace

void add_config_command(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("config", "Print the resolved config: every value, and each layer's attention");
  auto options = std::make_shared<Options>();
  add_config_options(*command, options->config, options->settings);
  command->get_option("CONFIG")->required(false);  // not needed with --reference
  command->add_flag("--reference", options->reference, "Print the reference of all keys instead");
  command->callback([options] { run(*options); });
}

}  // namespace lighthouse
