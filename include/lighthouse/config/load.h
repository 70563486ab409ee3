// From YAML to a RunConfig and back.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lighthouse/config/run_config.h"

namespace lighthouse {

/// Stands, at the beginning of a value, for the folder of the file that the value is written in.
inline constexpr const char* kConfigFolder = "{here}";

/// Reads a config file and those it extends, applies "key.path=value" settings in order, fills in defaults and presets,
/// and checks everything that can be checked without looking at data: types, ranges, settings that must fit together.
/// Throws InputError; the message names the file, line and key (or the --set), what was expected, and the nearest
/// valid name of an unknown key.
RunConfig load_config(const std::filesystem::path& path, const std::vector<std::string>& settings = {});

/// The same from text (a checkpoint's own config). `origin` names it in messages.
RunConfig parse_config(const std::string& yaml, const std::string& origin);

/// The same of a config that was put together by the program. `origin` says of what.
RunConfig checked_config(const RunConfig& config, const std::string& origin);

/// The complete config as YAML, every value spelled out: parse_config(to_yaml(c), "") == c.
std::string to_yaml(const RunConfig& config);

/// One difference between two configs: "optimizer.learning_rate", "0.001", "0.002".
struct ConfigDifference {
  std::string key;
  std::string before;
  std::string after;
};
std::vector<ConfigDifference> differences(const RunConfig& before, const RunConfig& after);

/// Every key with its type, default, range and meaning, as Markdown: docs/config.md.
std::string config_reference();

}  // namespace lighthouse
