// How this process was started: alone, or as one of several ranks, and by whom.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace lighthouse {

enum class Launcher : uint8_t { kNone, kMpi, kTorchrun, kSlurm };

struct Launch {
  Launcher launcher = Launcher::kNone;
  int rank = 0;
  int size = 1;
  int local_rank = 0;  // among the ranks of this host: the GPU that it takes
  // Where rank 0 listens, but for kMpi, where MPI carries it.
  std::string address;
  int port = 0;
  bool one_host = false;  // the launcher says that all ranks are on this host
  std::string token;      // LIGHTHOUSE_TOKEN: what a rank must show to rank 0
};

/// Reads one environment variable.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
/// The process's own.
std::optional<std::string> environment_variable(const std::string& name);

/// mpirun (OMPI_COMM_WORLD_*, or PMIX_RANK and PMI_RANK with their sizes), torchrun (RANK, WORLD_SIZE, LOCAL_RANK,
/// MASTER_ADDR, MASTER_PORT), or srun (SLURM_PROCID and SLURM_STEP_NUM_TASKS, the first host of SLURM_STEP_NODELIST). A
/// world of one is kNone, unless `even_alone`. LIGHTHOUSE_TOKEN may be set beside them. A variable that is set but
/// empty counts as not set. Throws InputError for variables that contradict each other.
Launch detect_launch(const Environment& environment, bool even_alone = false);

/// The first host of a SLURM list: "node[08-11,20],other" -> "node08".
std::string first_host(const std::string& list);

}  // namespace lighthouse
