#include "lighthouse/train/run_directory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/dist/process_group.h"

namespace lighthouse {

RunDirectory::RunDirectory(std::filesystem::path path) : path_(std::move(path)) {
  make_directories(path_);
  const std::filesystem::path lock = path_ / ".lock";
  lock_ = open(lock.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0644);
  if (lock_ < 0) {
    throw InputError(
        fmt::format("cannot write in {}: {}; choose another run.directory", path_.string(), std::strerror(errno)));
  }
  if (flock(lock_, LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) {
    why_unlocked_ = std::strerror(errno);
    return;
  }
  close(lock_);
  throw InputError(fmt::format("another process is training in {}; choose another run.directory", path_.string()));
}

std::string RunDirectory::mark() const {
  std::string text =
      fmt::format("{}, {}\n", this_process(), std::chrono::system_clock::now().time_since_epoch().count());
  const auto size = static_cast<ssize_t>(text.size());
  if (ftruncate(lock_, 0) != 0 || pwrite(lock_, text.data(), text.size(), 0) != size || fsync(lock_) != 0) {
    throw InputError(fmt::format("cannot write {}: {}", (path_ / ".lock").string(), std::strerror(errno)));
  }
  return text;
}

RunDirectory RunDirectory::locked_by_rank0(std::filesystem::path path, const std::string& mark) {
  const std::filesystem::path lock = path / ".lock";
  if (!std::filesystem::exists(lock) || read_file(lock) != mark) {
    throw InputError(fmt::format(
        "{} is not the folder that rank 0 has created; run.directory must be on a disk that all hosts share",
        path.string()));
  }
  return {std::move(path), Unlocked{}};
}

RunDirectory::~RunDirectory() {
  if (lock_ >= 0) close(lock_);
}

bool RunDirectory::holds_a_run() const {
  return std::filesystem::exists(config()) || std::filesystem::exists(metrics()) ||
         std::filesystem::exists(checkpoints());
}

void RunDirectory::remove_partial_files() const {
  std::vector<std::filesystem::path> partial;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    const std::string extension = entry.path().extension().string();
    if (extension.rfind(".partial-", 0) == 0 && entry.is_regular_file()) partial.push_back(entry.path());
  }
  for (const std::filesystem::path& path : partial) std::filesystem::remove(path);
}

}  // namespace lighthouse
