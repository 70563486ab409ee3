#include "lighthouse/dist/launch.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

constexpr int kFirstPort = 20000;  // of the range to which a SLURM job's number is mapped
constexpr int kPorts = 20000;

std::optional<int> number(const Environment& environment, const std::string& name) {
  const std::optional<std::string> text = environment(name);
  if (!text) return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error == std::errc() && end == text->data() + text->size() && value >= 0) return value;
  throw InputError(fmt::format("environment variable {} is \"{}\"; expected a number", name, *text));
}

int required(const Environment& environment, const std::string& name, const char* present) {
  if (const auto value = number(environment, name)) return *value;
  throw InputError(fmt::format("environment variable {} is set without {}; a launcher sets both", present, name));
}

/// `environment` without variables that are set but empty, which manifests and scripts leave behind.
Environment without_empty(const Environment& environment) {
  return [environment](const std::string& name) {
    std::optional<std::string> text = environment(name);
    return text && text->empty() ? std::nullopt : text;
  };
}

std::string text_of(const Environment& environment, const std::string& name) {
  return environment(name).value_or("");
}

void check_port(int port) {
  if (port >= 1 && port <= 65535) return;
  throw InputError(fmt::format("MASTER_PORT makes rank 0 listen on port {}; expected 1 to 65535", port));
}

Launch of_mpi(const Environment& environment) {
  if (const auto size = number(environment, "OMPI_COMM_WORLD_SIZE")) {
    return {Launcher::kMpi,
            required(environment, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
            *size,
            number(environment, "OMPI_COMM_WORLD_LOCAL_RANK").value_or(0),
            "",
            0,
            number(environment, "OMPI_COMM_WORLD_LOCAL_SIZE") == size,
            ""};
  }
  const bool slurm = environment("SLURM_STEP_NUM_TASKS").has_value();
  if (slurm && environment("PMIX_RANK")) {  // srun --mpi=pmix
    return {Launcher::kMpi,
            required(environment, "SLURM_PROCID", "PMIX_RANK"),
            required(environment, "SLURM_STEP_NUM_TASKS", "PMIX_RANK"),
            number(environment, "SLURM_LOCALID").value_or(0),
            "",
            0,
            number(environment, "SLURM_STEP_NUM_NODES") == 1,
            ""};
  }
  const auto rank = number(environment, "PMI_RANK");
  const auto size = number(environment, "PMI_SIZE");
  if (slurm || !rank || !size) return {};
  const bool one_host = number(environment, "MPI_LOCALNRANKS") == size;
  return {Launcher::kMpi, *rank, *size, number(environment, "MPI_LOCALRANKID").value_or(0), "", 0, one_host, ""};
}

Launch of_torchrun(const Environment& environment) {
  const auto size = number(environment, "WORLD_SIZE");
  const auto rank = number(environment, "RANK");
  if (!size || !rank) {
    // Under srun a batch script may have set one of them for other programs.
    if (environment("SLURM_STEP_NUM_TASKS")) return {};
    if (rank) throw InputError("environment variable RANK is set without WORLD_SIZE; a launcher sets both");
    if (size && *size > 1)
      throw InputError("environment variable WORLD_SIZE is set without RANK; a launcher sets both");
    return {};
  }
  Launch launch{Launcher::kTorchrun, *rank, *size, required(environment, "LOCAL_RANK", "RANK"), "", 0, false, ""};
  if (launch.size == 1) return launch;
  launch.address = text_of(environment, "MASTER_ADDR");
  if (launch.address.empty()) {
    throw InputError("environment variable WORLD_SIZE is set without MASTER_ADDR; a launcher sets both");
  }
  launch.one_host = number(environment, "LOCAL_WORLD_SIZE") == size;
  launch.port = required(environment, "MASTER_PORT", "MASTER_ADDR");
  // torchrun itself listens on that port.
  if (text_of(environment, "TORCHELASTIC_USE_AGENT_STORE") == "True") ++launch.port;
  check_port(launch.port);
  return launch;
}

/// Only in a step started by srun. A batch script has SLURM_PROCID too, but is not a rank.
Launch of_slurm(const Environment& environment) {
  const auto size = number(environment, "SLURM_STEP_NUM_TASKS");
  const auto rank = number(environment, "SLURM_PROCID");
  if (!size || !rank) return {};
  Launch launch{Launcher::kSlurm, *rank, *size, number(environment, "SLURM_LOCALID").value_or(0), "", 0, false, ""};
  if (launch.size == 1) return launch;
  launch.address = text_of(environment, "MASTER_ADDR");
  if (launch.address.empty()) launch.address = first_host(text_of(environment, "SLURM_STEP_NODELIST"));
  if (launch.address.empty()) {
    throw InputError("environment variable SLURM_PROCID is set without SLURM_STEP_NODELIST; srun sets both");
  }
  launch.one_host = number(environment, "SLURM_STEP_NUM_NODES") == 1;
  const auto port = number(environment, "MASTER_PORT");
  launch.port = port ? *port : kFirstPort + required(environment, "SLURM_JOB_ID", "SLURM_PROCID") % kPorts;
  check_port(launch.port);
  return launch;
}

}  // namespace

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Launch detect_launch(const Environment& given, bool even_alone) {
  const Environment environment = without_empty(given);
  Launch launch = of_mpi(environment);
  if (launch.launcher == Launcher::kNone) launch = of_torchrun(environment);
  if (launch.launcher == Launcher::kNone) launch = of_slurm(environment);
  if (launch.launcher == Launcher::kNone) return {};
  if (launch.rank >= launch.size) {
    throw InputError(
        fmt::format("the launcher's environment variables say rank {} of {} ranks; expected a rank below {}",
                    launch.rank, launch.size, launch.size));
  }
  launch.token = text_of(environment, "LIGHTHOUSE_TOKEN");
  return launch.size > 1 || even_alone ? launch : Launch{};
}

std::string first_host(const std::string& list) {
  std::string host;
  for (size_t i = 0; i < list.size() && list[i] != ','; ++i) {
    if (list[i] != '[') {
      host += list[i];
      continue;
    }
    const size_t end = list.find_first_of("-,]", i);
    host += list.substr(i + 1, end - i - 1);
    i = list.find(']', i);
    if (i == std::string::npos) break;
  }
  return host;
}

}  // namespace lighthouse
