#include "tiny_disk.h"

#include <sys/mount.h>

#include <fstream>
#include <string>
#include <utility>

namespace lighthouse::test {
namespace {

constexpr const char* kFiller = "filler";

}  // namespace

TinyDisk::TinyDisk(std::filesystem::path folder, int64_t bytes) : folder_(std::move(folder)) {
  std::filesystem::create_directories(folder_);
  const std::string options = "size=" + std::to_string(bytes);
  mounted_ = mount("tmpfs", folder_.c_str(), "tmpfs", 0, options.c_str()) == 0;
}

TinyDisk::~TinyDisk() {
  if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
}

void TinyDisk::make_read_only() const {
  mount("tmpfs", folder_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr);
}

void TinyDisk::fill(int64_t left) const {
  const auto free = static_cast<int64_t>(std::filesystem::space(folder_).available);
  if (free <= left) return;
  std::ofstream filler(folder_ / kFiller, std::ios::binary | std::ios::app);
  filler << std::string(static_cast<size_t>(free - left), 'x') << std::flush;
}

void TinyDisk::free_space() const {
  std::filesystem::remove(folder_ / kFiller);
}

}  // namespace lighthouse::test
