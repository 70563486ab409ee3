// A file system of a given size, for tests of full and read-only disks.
#pragma once

#include <cstdint>
#include <filesystem>

namespace lighthouse::test {

/// An in-memory file system mounted on an empty folder. Without root, mounted() is false.
class TinyDisk {
 public:
  TinyDisk(std::filesystem::path folder, int64_t bytes);
  ~TinyDisk();
  TinyDisk(const TinyDisk&) = delete;
  TinyDisk& operator=(const TinyDisk&) = delete;

  bool mounted() const { return mounted_; }
  void make_read_only() const;
  /// Fills the disk except for about `left` bytes, until free_space().
  void fill(int64_t left = 0) const;
  void free_space() const;

 private:
  std::filesystem::path folder_;
  bool mounted_ = false;
};

}  // namespace lighthouse::test
