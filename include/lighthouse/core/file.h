// Files and folders that appear whole or not at all, files read at an offset, and files mapped into memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace lighthouse {

/// Writes a temporary file beside `path`; commit() renames it to `path` once all bytes are on disk. The destructor
/// removes the temporary file if commit() was not called. Until commit() an existing file at `path` stays untouched.
/// Every failure (no such folder, no permission, full disk) throws InputError with the path and the system's reason. A
/// path that exists and is not a regular file (/dev/null, a pipe, a folder) is refused, because the rename would
/// replace it.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Overwrites bytes written earlier, for a header whose contents are known last.
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

/// Raises this process's limit on open files to its hard limit and returns the new limit. A data set can have more
/// shards, and a run more ranks, than the default limit.
int64_t raise_limit_of_open_files();

/// The contents of a small file. Throws InputError if the file cannot be read.
std::string read_file(const std::filesystem::path& path);

/// Writes `text` through an AtomicFile.
void write_file(const std::filesystem::path& path, std::string_view text);

/// A folder that appears whole or not at all: the caller fills partial(), a folder beside `path`, and commit() renames
/// it to `path` once all is on disk. The destructor removes partial() if commit() was not called; the constructor
/// removes leftovers of a killed process. Throws InputError for a path that check() refuses, while another process
/// makes the same folder, and when the system reports an error.
class NewFolder {
 public:
  explicit NewFolder(const std::filesystem::path& path);
  ~NewFolder();
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;

  /// Throws InputError if `path` exists, unless it is an empty folder other than the current one. Returns the absolute
  /// path.
  static std::filesystem::path check(const std::filesystem::path& path);

  /// The folder to write to before commit().
  const std::filesystem::path& partial() const { return partial_; }
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path partial_;
  int lock_ = -1;  // descriptor of the locked partial folder
};

/// Creates a folder and its parents. Throws InputError.
void make_directories(const std::filesystem::path& path);

/// Flushes a folder's entries to disk, so that a rename in the folder survives a power cut. Throws InputError.
void sync_directory(const std::filesystem::path& path);

/// Identifies a file and its version by what stat() reports.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t modified = 0;  // nanoseconds

  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

/// A regular file that is read at given offsets and may stay in use for days. Later failures of the file or its disk
/// throw InputError, whereas a failing read from a mapped file would kill the process. A process may have more
/// InputFiles than its limit on open files: the least recently read ones are closed, and reopened on the next read.
/// Threads may read from one InputFile at the same time.
class InputFile {
 public:
  /// Throws InputError if the file cannot be opened or is not a regular file.
  explicit InputFile(std::filesystem::path path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;

  /// How many InputFiles this process keeps open: an eighth of the limit on open files, between 4 and 4096.
  static int64_t most_open();

  const std::filesystem::path& path() const { return path_; }
  /// Size in bytes at the time of opening.
  int64_t size() const { return size_; }
  /// Reads out.size() bytes from `offset`. Throws InputError if they cannot be read, if the file ends before them, or
  /// if the file was closed in between and its path now names a replaced or modified file.
  void read(int64_t offset, std::span<std::byte> out) const;

 private:
  std::filesystem::path path_;
  uint64_t key_ = 0;  // in the table of open files; 0 after a move
  int64_t size_ = 0;
  FileIdentity identity_;
};

/// A file mapped read-only. The mapping lasts as long as the object; an empty file has an empty span. Throws InputError
/// if the file cannot be opened or mapped.
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
