// Reading, checking and writing of a run's YAML config.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// At the start of a value, this is replaced by the folder of the file that contains the value.
inline constexpr const char* kConfigFolder = "{here}";

/// Reads a config file and the files that it extends, applies "key.path=value" settings in order, fills in defaults and
/// presets, and checks everything that can be checked without data: types, ranges, combinations of settings. Throws
/// InputError; the message has the file, line and key (or the --set), what was expected, and the nearest valid name for
/// an unknown key.
RunConfig load_config(const std::filesystem::path& path, const std::vector<std::string>& settings = {});

/// The same for text, such as the config saved in a checkpoint. `origin` names the text in messages.
RunConfig parse_config(const std::string& yaml, const std::string& origin);

/// Fills in and checks a config that the program assembled itself. `origin` describes the config in messages.
RunConfig checked_config(const RunConfig& config, const std::string& origin);

/// The complete config as YAML, with every value: parse_config(to_yaml(c), "") == c.
std::string to_yaml(const RunConfig& config);

/// A difference between two configs: "optimizer.learning_rate", "0.001", "0.002".
struct ConfigDifference {
  std::string key;
  std::string before;
  std::string after;
};
std::vector<ConfigDifference> differences(const RunConfig& before, const RunConfig& after);

/// Every key with its type, default, range and meaning, as Markdown. This text is docs/config.md.
std::string config_reference();

}  // namespace lighthouse
