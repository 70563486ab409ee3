#include "lighthouse/core/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

#include "lighthouse/core/error.h"

namespace lighthouse {

void start_logging() {
  auto logger = std::make_shared<spdlog::logger>("lighthouse", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->set_pattern("%H:%M:%S %^%-5l%$ %v");
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

void log_to_file(const std::filesystem::path& file, int rank) {
  const std::string label = rank == 0 ? "" : "rank " + std::to_string(rank) + ": ";
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string());
    sink->set_pattern("%Y-%m-%d %H:%M:%S %-5l " + label + "%v");
    spdlog::default_logger()->sinks().push_back(sink);
  } catch (const spdlog::spdlog_ex& error) {
    throw InputError("cannot write the log: " + std::string(error.what()));
  }
}

void log_as_rank(int rank) {
  const std::string label = "rank " + std::to_string(rank) + ": ";
  spdlog::default_logger()->set_level(spdlog::level::warn);
  spdlog::default_logger()->set_pattern("%H:%M:%S %^%-5l%$ " + label + "%v");
}

}  // namespace lighthouse
