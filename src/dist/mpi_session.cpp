#include <fmt/format.h>

#include "lighthouse/core/error.h"
#include "lighthouse/core/stop_signal.h"
#include "lighthouse/dist/mpi.h"

#ifdef LIGHTHOUSE_HAS_MPI
#include "mpi_check.h"
#endif

namespace lighthouse {

#ifdef LIGHTHOUSE_HAS_MPI
namespace {

class Session final : public MpiSession {
 public:
  explicit Session(const Launch& launch) {
    int given = 0;
    LIGHTHOUSE_MPI(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &given));
    restore_hang_up();
    LIGHTHOUSE_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    int size = 0;
    LIGHTHOUSE_MPI(MPI_Comm_size(MPI_COMM_WORLD, &size));
    if (size != launch.size) {
      throw InputError(
          fmt::format("the launcher started {} ranks, but MPI reports {}; use the mpirun of the MPI with which this "
                      "program is built",
                      launch.size, size));
    }
    if (given < MPI_THREAD_SERIALIZED) {
      throw InputError("this MPI does not support MPI_THREAD_SERIALIZED, which this program needs");
    }
  }

  std::string broadcast(const std::string& text) override {
    auto length = static_cast<int>(text.size());
    LIGHTHOUSE_MPI(MPI_Bcast(&length, 1, MPI_INT, 0, MPI_COMM_WORLD));
    std::string copy = text;
    copy.resize(static_cast<size_t>(length));
    LIGHTHOUSE_MPI(MPI_Bcast(copy.data(), length, MPI_CHAR, 0, MPI_COMM_WORLD));
    return copy;
  }

  void finish() override { LIGHTHOUSE_MPI(MPI_Finalize()); }
};

}  // namespace

bool mpi_is_built_in() {
  return true;
}

std::unique_ptr<MpiSession> start_mpi(const Launch& launch) {
  return std::make_unique<Session>(launch);
}

#else

bool mpi_is_built_in() {
  return false;
}

namespace {
constexpr const char* kNotBuiltIn =
    "this program is built without MPI; install it (scripts/setup.sh, or the packages libopenmpi-dev and openmpi-bin) "
    "and build again";
}  // namespace

std::unique_ptr<MpiSession> start_mpi(const Launch&) {
  throw InputError(kNotBuiltIn);
}

std::unique_ptr<Communicator> make_mpi_communicator(ProcessGroup&, Backend&) {
  throw InputError(kNotBuiltIn);
}

#endif

}  // namespace lighthouse
