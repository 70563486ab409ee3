#include "lighthouse/dist/launch.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

constexpr int kFirstPort = 20000;  // of those that a SLURM job's number is mapped to
constexpr int kPorts = 20000;

std::optional<int> number(const Environment& environment, const std::string& name) {
  const std::optional<std::string> text = environment(name);
  if (!text) return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error == std::errc() && end == text->data() + text->size() && value >= 0) return value;
  throw InputError(fmt::format("the environment says {}={}; expected a number", name, *text));
}

int wanted(const Environment& environment, const std::string& name, const char* beside) {
  if (const auto value = number(environment, name)) return *value;
  throw InputError(fmt::format("the environment has {} without {}; a launcher sets both", beside, name));
}

Launch of_mpi(const Environment& environment) {
  if (const auto size = number(environment, "OMPI_COMM_WORLD_SIZE")) {
    return {Launcher::kMpi,
            wanted(environment, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
            *size,
            number(environment, "OMPI_COMM_WORLD_LOCAL_RANK").value_or(0),
            "",
            0};
  }
  const bool slurm = environment("SLURM_STEP_NUM_TASKS").has_value();
  if (slurm && environment("PMIX_RANK")) {  // srun --mpi=pmix
    return {Launcher::kMpi,
            wanted(environment, "SLURM_PROCID", "PMIX_RANK"),
            wanted(environment, "SLURM_STEP_NUM_TASKS", "PMIX_RANK"),
            number(environment, "SLURM_LOCALID").value_or(0),
            "",
            0};
  }
  const auto rank = number(environment, "PMI_RANK");
  const auto size = number(environment, "PMI_SIZE");
  if (slurm || !rank || !size) return {};
  return {Launcher::kMpi, *rank, *size, number(environment, "MPI_LOCALRANKID").value_or(0), "", 0};
}

Launch of_torchrun(const Environment& environment) {
  const auto size = number(environment, "WORLD_SIZE");
  const auto rank = number(environment, "RANK");
  if (!size || !rank) return {};
  Launch launch{Launcher::kTorchrun, *rank, *size, wanted(environment, "LOCAL_RANK", "RANK"), "", 0};
  if (launch.size == 1) return launch;
  const auto address = environment("MASTER_ADDR");
  if (!address) throw InputError("the environment has WORLD_SIZE without MASTER_ADDR; a launcher sets both");
  launch.address = *address;
  launch.port = wanted(environment, "MASTER_PORT", "MASTER_ADDR");
  // There torchrun itself listens.
  if (environment("TORCHELASTIC_USE_AGENT_STORE").value_or("") == "True") ++launch.port;
  return launch;
}

/// Only in a step that srun started: a batch script has SLURM_PROCID too, and is no rank.
Launch of_slurm(const Environment& environment) {
  const auto size = number(environment, "SLURM_STEP_NUM_TASKS");
  const auto rank = number(environment, "SLURM_PROCID");
  if (!size || !rank) return {};
  Launch launch{Launcher::kSlurm, *rank, *size, number(environment, "SLURM_LOCALID").value_or(0), "", 0};
  if (launch.size == 1) return launch;
  const auto address = environment("MASTER_ADDR");
  launch.address = address ? *address : first_host(environment("SLURM_STEP_NODELIST").value_or(""));
  const auto port = number(environment, "MASTER_PORT");
  launch.port = port ? *port : kFirstPort + wanted(environment, "SLURM_JOB_ID", "SLURM_PROCID") % kPorts;
  return launch;
}

}  // namespace

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Launch detect_launch(const Environment& environment, bool even_alone) {
  Launch launch = of_mpi(environment);
  if (launch.launcher == Launcher::kNone) launch = of_torchrun(environment);
  if (launch.launcher == Launcher::kNone) launch = of_slurm(environment);
  if (launch.launcher == Launcher::kNone) return {};
  if (launch.rank >= launch.size) {
    throw InputError(
        fmt::format("the environment says that this is rank {} of {} ranks, counted from 0", launch.rank, launch.size));
  }
  return launch.size > 1 || even_alone ? launch : Launch{};
}

std::string first_host(const std::string& list) {
  const size_t bracket = list.find_first_of("[,");
  if (bracket == std::string::npos || list[bracket] == ',') return list.substr(0, bracket);
  return list.substr(0, bracket) + list.substr(bracket + 1, list.find_first_of("-,]", bracket) - bracket - 1);
}

}  // namespace lighthouse
