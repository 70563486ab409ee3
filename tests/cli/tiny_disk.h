// A file system of a chosen size, for tests of full and read-only disks.
#pragma once

#include <cstdint>
#include <filesystem>

namespace lighthouse::test {

/// Mounted on an empty folder, in memory. Mounting is for root: without, mounted() is false.
class TinyDisk {
 public:
  TinyDisk(std::filesystem::path folder, int64_t bytes);
  ~TinyDisk();
  TinyDisk(const TinyDisk&) = delete;
  TinyDisk& operator=(const TinyDisk&) = delete;

  bool mounted() const { return mounted_; }
  void make_read_only() const;
  /// Takes all space but about `left` bytes, until free_space().
  void fill(int64_t left = 0) const;
  void free_space() const;

 private:
  std::filesystem::path folder_;
  bool mounted_ = false;
};

}  // namespace lighthouse::test
