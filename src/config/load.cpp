#include "lighthouse/config/load.h"

#include <fmt/format.h>

#include "check.h"
#include "config_node.h"
#include "lighthouse/core/error.h"
#include "reader.h"

namespace lighthouse {
namespace {

/// Fills in values that depend on other values.
void resolve(RunConfig& config) {
  if (config.run.directory.empty()) config.run.directory = "runs/" + config.run.name;
  for (size_t i = 0; i < config.stages.size(); ++i) {
    StageSection& stage = config.stages[i];
    if (stage.name.empty()) stage.name = fmt::format("{}-{}", name_of(stage.attention), i);
  }
}

RunConfig config_of(const ConfigNode& root, bool saved) {
  RunConfig config = read_fields(root, saved);
  resolve(config);
  check_config(config, root, saved);
  return config;
}

/// A preset on the command line is a whole model, so it replaces the file's model section. Later settings change it.
void clear_model_for_preset(ConfigNode& root, const std::string& setting) {
  if (!setting.starts_with("model.preset=")) return;
  if (ConfigNode* model = root.find("model")) model->map.clear();
}

/// Refuses a setting that every stage overrides, as in the complete config that a run saves: it would silently have no
/// effect.
void refuse_overridden_setting(const ConfigNode& root, const std::string& setting) {
  const std::string path = setting.substr(0, setting.find('='));
  const std::string in_stage = path == "model.rope_theta" ? "rope_theta" : path;
  if (in_stage == path && !path.starts_with("batch.") && !path.starts_with("data.")) return;
  const ConfigNode* stages = root.find("stages");
  if (stages == nullptr || stages->list.empty()) return;

  const size_t dot = in_stage.find('.');
  for (const ConfigNode& stage : stages->list) {
    const ConfigNode* node = stage.find(in_stage.substr(0, dot));
    if (node != nullptr && dot != std::string::npos) node = node->find(in_stage.substr(dot + 1));
    if (node == nullptr) return;
  }
  throw InputError(
      fmt::format("--set {} has no effect, because every stage sets its own value; set stages.0.{}, ... instead",
                  setting, in_stage));
}

}  // namespace

RunConfig load_config(const std::filesystem::path& path, const std::vector<std::string>& settings) {
  ConfigNode root = load_tree(path);
  for (const std::string& setting : settings) {
    clear_model_for_preset(root, setting);
    apply_setting(root, setting);
  }
  RunConfig config = config_of(root, false);
  for (const std::string& setting : settings) refuse_overridden_setting(root, setting);
  return config;
}

RunConfig parse_config(const std::string& yaml, const std::string& origin) {
  return config_of(parse_tree(yaml, origin), true);
}

RunConfig checked_config(const RunConfig& config, const std::string& origin) {
  return config_of(parse_tree(to_yaml(config), origin, false), true);
}

}  // namespace lighthouse
