// Files that appear whole or not at all, files read by place, and files mapped into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lighthouse {

/// Writes a file beside its final name and renames it when everything is on disk. Destroyed without commit(), it
/// removes what it wrote. Every failure (no such folder, no permission, full disk) throws InputError naming the file
/// and the system's reason; the file that stood under the final name, if any, is untouched until commit(). What is no
/// file (/dev/null, a pipe, a folder) is refused: the rename would put a file in its place.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Overwrites bytes written before, for headers whose content is known last.
  void write_at(int64_t offset, std::span<const std::byte> bytes);
  int64_t size() const { return size_; }
  /// fsync, rename, fsync of the folder.
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path partial_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

/// Lets this process open as many files as it may: a data set can have more shards, and a run more ranks, than the
/// limit that shells begin with. Returns how many.
int64_t raise_limit_of_open_files();

/// The whole of a small file. Throws InputError if it cannot be read.
std::string read_file(const std::filesystem::path& path);

/// AtomicFile with one write.
void write_file(const std::filesystem::path& path, std::string_view text);

/// A folder that appears whole or not at all: filled beside its final name, renamed when all is on disk. Destroyed
/// without commit(), it removes what was written; what a killed process has left there goes first. Throws InputError
/// for what check() refuses, if another process is making the same folder, and for failures of the system.
class NewFolder {
 public:
  explicit NewFolder(const std::filesystem::path& path);
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  /// Refuses a name under which something is already, but for an empty folder that is not the current one. Returns the
  /// absolute path.
  static std::filesystem::path check(const std::filesystem::path& path);

  /// Where to write meanwhile.
  const std::filesystem::path& partial() const { return partial_; }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path partial_;
  int lock_ = -1;  // the partial folder, held open
};

/// Makes a folder and those above it. Throws InputError.
void make_directories(const std::filesystem::path& path);

/// Flushes a folder's entries to disk, so that a rename in it survives a power cut. Throws InputError.
void sync_directory(const std::filesystem::path& path);

/// Which file it is, as the system knows it, and in which state.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t modified = 0;  // nanoseconds

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

/// A regular file to read by place. What is wrong with it or its disk later comes as an exception, where a mapped
/// file's would end the process: for files that are in use for days. There can be more of them than the process may
/// have open at once: those that were not read for longest are closed, and opened again when they are read. Threads may
/// read at the same time.
class InputFile {
 public:
  /// Throws InputError if it cannot be opened.
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  /// How many of this process stay open: an eighth of the limit on open files, from 4 to 4096.
  static int64_t most_open();

  const std::filesystem::path& path() const { return path_; }
  /// Bytes, when it was opened.
  int64_t size() const { return size_; }
  /// The bytes from `offset` on, as many as `out` holds. Throws InputError if they cannot be read, if the file ends
  /// before them, or if it was closed meanwhile and its name now stands for another file or for a changed one.
  void read(int64_t offset, std::span<std::byte> out) const;

 private:
  std::filesystem::path path_;
  uint64_t key_ = 0;  // in the table of open files; 0: moved from
  int64_t size_ = 0;
  FileIdentity identity_;
};

/// A file mapped read-only. Throws InputError if it cannot be opened or mapped. An empty file maps to an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const { return {address_, static_cast<size_t>(size_)}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* address_ = nullptr;
  int64_t size_ = 0;
};

}  // namespace lighthouse
