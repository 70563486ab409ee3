// How this process was started: alone, or as a rank, and by which launcher.
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
  int local_rank = 0;  // among the ranks of this host: the index of its GPU
  // Where rank 0 listens. Not set for kMpi, where rank 0 broadcasts it through MPI.
  std::string address;
  int port = 0;
  bool one_host = false;  // the launcher's variables say that all ranks are on this host
  std::string token;      // LIGHTHOUSE_TOKEN, see Rendezvous
};

/// Reads an environment variable.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
/// Reads the environment of this process.
std::optional<std::string> environment_variable(const std::string& name);

/// Recognises mpirun (OMPI_COMM_WORLD_*, or PMIX_RANK and PMI_RANK with their sizes), torchrun (RANK, WORLD_SIZE,
/// LOCAL_RANK, MASTER_ADDR, MASTER_PORT) and srun (SLURM_PROCID, SLURM_STEP_NUM_TASKS, the first host of
/// SLURM_STEP_NODELIST). A launch of one rank is kNone, unless `even_alone`. An empty variable counts as not set.
/// Throws InputError for variables that contradict each other.
Launch detect_launch(const Environment& environment, bool even_alone = false);

/// The first host of SLURM's notation: "node[08-11,20],other" -> "node08".
std::string first_host(const std::string& list);

}  // namespace lighthouse
