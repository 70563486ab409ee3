#include "distributed_session.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <random>
#include <set>
#include <sstream>

#include "lighthouse/config/load.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/log.h"
#ifdef LIGHTHOUSE_HAS_CUDA
#include "lighthouse/kernels/cuda.h"
#include "lighthouse/kernels/nccl.h"
#endif

namespace lighthouse {
namespace {

constexpr int kFailed = 1;
constexpr int kRefused = 2;

/// A random token that other processes cannot guess.
std::string random_token() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

void warn(const std::string& text) {
  spdlog::warn("{}", text);
}

std::unique_ptr<ProcessGroup> join_by_mpi(const Launch& launch, MpiSession& mpi, const Timeouts& timeouts) {
  std::unique_ptr<RendezvousListener> listener;
  std::string where;
  if (launch.rank == 0) {
    listener = std::make_unique<RendezvousListener>(0, launch.one_host ? kLoopback : "");
    where = fmt::format("{} {} {}", listener->port(), random_token(), listener->addresses());
  }
  std::istringstream received(mpi.broadcast(where));
  Rendezvous rendezvous;
  received >> rendezvous.port >> rendezvous.token >> rendezvous.addresses;
  return join_process_group(launch.rank, launch.size, rendezvous, std::move(listener), this_process(), timeouts, warn);
}

std::unique_ptr<ProcessGroup> join_at_address(const Launch& launch, const Timeouts& timeouts) {
  const Rendezvous rendezvous{launch.one_host ? kLoopback : launch.address, launch.port, launch.token};
  std::unique_ptr<RendezvousListener> listener;
  if (launch.rank == 0) listener = std::make_unique<RendezvousListener>(rendezvous.port, rendezvous.addresses);
  try {
    return join_process_group(launch.rank, launch.size, rendezvous, std::move(listener), this_process(), timeouts,
                              warn);
  } catch (const PeerError& error) {
    if (error.refused()) throw InputError(error.what());
    throw;
  }
}

/// Identifies a rank's GPU; "" on the CPU.
std::string device_id(const Backend& backend) {
#ifdef LIGHTHOUSE_HAS_CUDA
  if (backend.device().kind == DeviceKind::kCuda) return cuda_device_id(backend.device().index);
#endif
  static_cast<void>(backend);
  return "";
}

std::shared_ptr<Communicator> make_nccl(ProcessGroup& group, Backend& backend) {
#ifdef LIGHTHOUSE_HAS_CUDA
  return make_nccl_communicator(group, backend);
#else
  static_cast<void>(group);
  static_cast<void>(backend);
  throw InputError("distributed.backend is nccl, but this program was built without CUDA; use auto or mpi");
#endif
}

bool has_nccl() {
#ifdef LIGHTHOUSE_HAS_CUDA
  return nccl_is_built_in();
#else
  return false;
#endif
}

}  // namespace

DistributedSession::DistributedSession(const Timeouts& timeouts, bool even_alone)
    : launch_(detect_launch(environment_variable, even_alone)), group_(make_single_process_group()) {
  if (launch_.launcher == Launcher::kNone) return;
  if (launch_.rank > 0) log_as_rank(launch_.rank);
  if (launch_.launcher == Launcher::kMpi) {
    deferred_.emplace();
    mpi_ = start_mpi(launch_);
    group_ = join_by_mpi(launch_, *mpi_, timeouts);
  } else {
    group_ = join_at_address(launch_, timeouts);
    deferred_.emplace();  // after joining, which may take minutes and can simply be interrupted
  }
}

DistributedSession::~DistributedSession() = default;

std::string DistributedSession::description() const {
  switch (launch_.launcher) {
    case Launcher::kNone:
      return "";
    case Launcher::kMpi:
      return fmt::format("{} ranks by mpirun", size());
    case Launcher::kTorchrun:
      return fmt::format("{} ranks by torchrun", size());
    case Launcher::kSlurm:
      return fmt::format("{} ranks by srun", size());
  }
  return "";
}

void DistributedSession::run(const std::function<void()>& work) {
  if (launch_.launcher == Launcher::kNone) return work();
  try {
    work();
  } catch (const Interrupted&) {  // on all ranks
    leave();
    throw;
  } catch (const AllRanksInputError& error) {
    if (is_rank0()) spdlog::error("{}", error.what());
    leave();
    throw SilentExit{kRefused};
  } catch (const PeerError& error) {
    if (is_rank0() || !error.refused()) spdlog::error("{}", error.what());
    throw SilentExit{error.refused() ? kRefused : kFailed};
  } catch (const InputError& error) {
    if (is_rank0()) spdlog::error("{}", error.what());
    group_->abort(error.what(), true);
    throw SilentExit{kRefused};
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    group_->abort(error.what(), false);
    throw SilentExit{kFailed};
  }
  leave();
}

void DistributedSession::leave() {
  group_->finish();
  if (mpi_) mpi_->finish();
}

Ranks DistributedSession::ranks(const RunConfig& config, Backend& backend) {
  if (launch_.launcher == Launcher::kNone) return {};
  return make_ranks(Mesh(rank(), size()), group_, communicator_for(config, backend));
}

std::shared_ptr<Communicator> DistributedSession::communicator_for(const RunConfig& config, Backend& backend) {
  const bool gpu = backend.device().kind == DeviceKind::kCuda;
  const CommunicationChoice choice = config.distributed.backend;
  if (!gpu) {
    if (choice == CommunicationChoice::kNccl) {
      throw InputError("distributed.backend is nccl, but NCCL supports only GPUs; use auto or mpi");
    }
    if (!mpi_) throw InputError("ranks on CPUs need MPI; start them with mpirun");
    return make_mpi_communicator(*group_, backend);
  }
  std::set<std::string> gpus;
  for (const std::string& id : group_->gather(device_id(backend), "the names of GPUs")) gpus.insert(id);
  const bool shared = static_cast<int>(gpus.size()) < size();
  if (choice == CommunicationChoice::kNccl && shared) {
    throw InputError(fmt::format(
        "distributed.backend is nccl, but {} ranks have {} GPUs and NCCL needs one for each; use fewer ranks, or mpi",
        size(), gpus.size()));
  }
  const bool nccl =
      choice == CommunicationChoice::kNccl || (choice == CommunicationChoice::kAuto && has_nccl() && !shared);
  if (nccl) return make_nccl(*group_, backend);
  if (!mpi_) {
    throw InputError(
        "these ranks need MPI (two of them share a GPU, or the program was built without "
        "NCCL); start them with mpirun");
  }
  if (choice == CommunicationChoice::kAuto && is_rank0()) {
    spdlog::warn("collectives run over MPI and host memory, which is slow: {}",
                 shared ? "ranks share a GPU" : "the program was built without NCCL");
  }
  return make_mpi_communicator(*group_, backend);
}

namespace {

std::string different_settings(const std::string& of_rank0, const std::string& other) {
  std::string text;
  for (const ConfigDifference& d : differences(parse_config(of_rank0, "rank 0"), parse_config(other, "another rank"))) {
    text += fmt::format("{}{} {} instead of {}", text.empty() ? "" : ", ", d.key, d.after, d.before);
  }
  return text.empty() ? "its text" : text;
}

}  // namespace

std::unique_ptr<DistributedSession> join_distributed_session(const std::string& config,
                                                             const std::vector<std::string>& settings) {
  DistributedSection section;
  try {
    section = load_config(config, settings).distributed;
  } catch (const InputError&) {
    section = {};  // load_config_on_all_ranks() reports the error
  }
  Timeouts timeouts;
  timeouts.silence = std::chrono::milliseconds(static_cast<int64_t>(1e3 * section.timeout_seconds));
  timeouts.stall = std::chrono::milliseconds(static_cast<int64_t>(1e3 * section.stall_seconds));
  return std::make_unique<DistributedSession>(timeouts, section.backend != CommunicationChoice::kAuto);
}

RunConfig load_config_on_all_ranks(DistributedSession& session, const std::string& command, const std::string& path,
                                   const std::vector<std::string>& settings) {
  check_ranks_agree(session.group(), command, "command",
                    [](const std::string& a, const std::string& b) { return fmt::format("{} instead of {}", b, a); });
  RunConfig config;
  on_all_ranks(session.group(), "the config", [&] {
    config = load_config(path, settings);
    return std::string();
  });
  check_ranks_agree(
      session.group(), checksum_of_file("/proc/self/exe"), "program",
      [](const std::string& a, const std::string& b) { return fmt::format("checksum {} instead of {}", b, a); });
  check_ranks_agree(session.group(), to_yaml(config), "config", different_settings);
  return config;
}

}  // namespace lighthouse
