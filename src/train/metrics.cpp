#include "lighthouse/train/metrics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"

namespace lighthouse {
namespace {

using Json = nlohmann::ordered_json;

/// JSON has no NaN; it is written as null.
double number(const Json& json, const char* key) {
  const auto it = json.find(key);
  if (it == json.end() || it->is_null()) return std::numeric_limits<double>::quiet_NaN();
  return it->get<double>();
}

StepMetrics read_step(const Json& json) {
  StepMetrics m;
  m.step = json.at("step");
  m.stage = json.at("stage");
  m.attention = attention_kind_of(json.at("attention").get<std::string>());
  m.tokens = json.at("tokens");
  m.loss = number(json, "loss");
  m.gradient_norm = number(json, "grad_norm");
  m.learning_rate = number(json, "lr");
  m.tokens_per_second = number(json, "tokens_per_second");
  if (json.contains("mfu") && !json["mfu"].is_null()) m.mfu = number(json, "mfu");
  m.seconds = number(json, "seconds");
  m.skipped = json.at("skipped");
  return m;
}

ValidationMetrics read_validation(const Json& json) {
  return {json.at("step"),
          json.at("stage"),
          json.at("tokens"),
          number(json, "seconds"),
          number(json, "validation_loss"),
          number(json, "validation_loss_dense")};
}

/// The complete lines of a file, and the text after the last line break.
struct Lines {
  std::vector<std::string_view> complete;
  std::string_view torn;
};

Lines split_lines(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      lines.torn = text;
      break;
    }
    lines.complete.push_back(text.substr(0, end));
    text.remove_prefix(end + 1);
  }
  return lines;
}

int64_t step_of(std::string_view line) {
  const Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded() || !json.contains("step") || !json["step"].is_number_integer()) return INT64_MAX;
  return json["step"];
}

/// Appends to a file without buffering. Returns false, with the file as before, if the text cannot be written.
bool append_to(const std::filesystem::path& path, std::string_view text) {
  const int file = open(path.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0644);
  if (file < 0) return false;
  const off_t before = lseek(file, 0, SEEK_END);
  bool good = true;
  while (good && !text.empty()) {
    const ssize_t written = write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    good = written > 0;
    if (good) text.remove_prefix(static_cast<size_t>(written));
  }
  // Remove what was written of it. If that fails too, readers ignore the incomplete last line.
  if (!good && ftruncate(file, before) != 0) errno = ENOSPC;
  close(file);
  return good;
}

}  // namespace

RunHistory read_history(const std::filesystem::path& path) {
  const std::string text = read_file(path);
  RunHistory history;
  int64_t number = 0;
  for (std::string_view line : split_lines(text).complete) {
    ++number;
    try {
      const Json json = Json::parse(line);
      if (json.contains("validation_loss")) {
        history.validations.push_back(read_validation(json));
      } else {
        history.steps.push_back(read_step(json));
      }
    } catch (const nlohmann::json::exception& error) {
      throw InputError(fmt::format("{}:{}: this is not a line of metrics: {}", path.string(), number, error.what()));
    }
  }
  return history;
}

MetricsLog::MetricsLog(std::filesystem::path path) : path_(std::move(path)) {}

void MetricsLog::append(const StepMetrics& m) {
  Json json{{"step", m.step},
            {"stage", m.stage},
            {"attention", std::string(name_of(m.attention))},
            {"tokens", m.tokens},
            {"loss", m.loss},
            {"grad_norm", m.gradient_norm},
            {"lr", m.learning_rate},
            {"tokens_per_second", m.tokens_per_second}};
  json["mfu"] = m.mfu ? Json(*m.mfu) : Json();
  json["seconds"] = m.seconds;
  json["skipped"] = m.skipped;
  append_line(json.dump());
}

void MetricsLog::append(const ValidationMetrics& m) {
  const Json json{{"step", m.step},       {"stage", m.stage},          {"tokens", m.tokens},
                  {"seconds", m.seconds}, {"validation_loss", m.loss}, {"validation_loss_dense", m.loss_dense}};
  append_line(json.dump());
}

void MetricsLog::append_line(const std::string& line) {
  waiting_ += line + '\n';
  write_waiting();
}

bool MetricsLog::write_waiting() {
  if (!waiting_.empty() && append_to(path_, waiting_)) waiting_.clear();
  return waiting_.empty();
}

void MetricsLog::flush() {
  if (write_waiting() && sync()) return;
  throw InputError(fmt::format("cannot write {}: {}; free some space or choose another run.directory", path_.string(),
                               std::strerror(errno)));
}

bool MetricsLog::sync() const {
  const int file = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno == ENOENT;  // no line was ever written
  const bool synced = fdatasync(file) == 0 || errno == EINVAL;
  close(file);
  return synced;
}

int64_t discard_after(const std::filesystem::path& metrics, const std::filesystem::path& discarded, int64_t step) {
  if (!std::filesystem::exists(metrics)) return 0;
  const std::string text = read_file(metrics);
  const Lines lines = split_lines(text);
  std::string kept;
  std::string moved;
  int64_t count = 0;
  for (std::string_view line : lines.complete) {
    const bool stays = step_of(line) <= step;
    (stays ? kept : moved).append(line).push_back('\n');
    count += !stays;
  }
  if (!lines.torn.empty()) moved.append(lines.torn).push_back('\n');
  if (moved.empty()) return 0;
  if (!append_to(discarded, moved)) {
    throw InputError(fmt::format("cannot write {}: {}", discarded.string(), std::strerror(errno)));
  }
  write_file(metrics, kept);
  return count;
}

void copy_up_to(const std::filesystem::path& from, const std::filesystem::path& to, int64_t step) {
  const std::string text = read_file(from);
  std::string kept;
  for (std::string_view line : split_lines(text).complete) {
    if (step_of(line) <= step) kept.append(line).push_back('\n');
  }
  write_file(to, kept);
}

}  // namespace lighthouse
