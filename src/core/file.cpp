#include "lighthouse/core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <list>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

[[noreturn]] void fail(const char* what, const std::filesystem::path& path) {
  const int error = errno;
  std::string hint;
  if (error == EMFILE) hint = "; raise the limit on open files (ulimit -n)";
  if (error == ENOSPC || error == EDQUOT) hint = "; free some space or choose another place";
  if (error == EROFS || error == EACCES || error == EPERM) hint = "; choose a place that this user may write";
  throw InputError(fmt::format("{} {}: {}{}", what, path.string(), std::strerror(error), hint));
}

/// Closes a descriptor when it leaves the scope.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

int open_to_read(const std::filesystem::path& path) {
  return open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // O_NONBLOCK: do not wait for a pipe's writer
}

/// The status of a regular file; throws InputError for anything else.
struct stat regular_status(int descriptor, const std::filesystem::path& path) {
  struct stat status {};
  if (descriptor < 0 || fstat(descriptor, &status) != 0) fail("cannot read", path);
  if (!S_ISREG(status.st_mode)) throw InputError(fmt::format("{} is not a regular file", path.string()));
  return status;
}

FileIdentity identity_of(const struct stat& status) {
  constexpr int64_t kNanoseconds = 1'000'000'000;
  return {status.st_dev, status.st_ino, status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec};
}

int64_t regular_size(int descriptor, const std::filesystem::path& path) {
  return regular_status(descriptor, path).st_size;
}

/// A cache of this process's open input files, most recently used first. Thread-safe.
class OpenFiles {
 public:
  using Opened = std::shared_ptr<const Descriptor>;

  static OpenFiles& instance() {
    static OpenFiles files;
    return files;
  }

  uint64_t new_key() { return ++last_key_; }

  /// The open file for `key`, reopened if the cache has closed it. Throws InputError if the file was replaced or
  /// modified.
  Opened of(uint64_t key, const std::filesystem::path& path, const FileIdentity& identity) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found != places_.end()) {
      files_.splice(files_.begin(), files_, found->second);
      return files_.front().second;
    }
    Opened file = open(path);
    if (identity_of(regular_status(file->get(), path)) != identity) {
      throw InputError(fmt::format("{} was replaced or changed while it was in use", path.string()));
    }
    put_first(key, file);
    return file;
  }

  /// Opens a regular file for the first time and returns its status.
  struct stat add(uint64_t key, const std::filesystem::path& path) {
    const std::lock_guard lock(mutex_);
    const Opened file = open(path);
    const struct stat status = regular_status(file->get(), path);
    put_first(key, file);
    return status;
  }

  void forget(uint64_t key) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return;
    files_.erase(found->second);
    places_.erase(found);
  }

 private:
  // The caller holds mutex_.

  /// Opens a file; closes others first if too many are open.
  Opened open(const std::filesystem::path& path) {
    while (std::ssize(files_) >= InputFile::most_open()) close_one();
    int descriptor = open_to_read(path);
    while (descriptor < 0 && (errno == EMFILE || errno == ENFILE) && !files_.empty()) {
      close_one();
      descriptor = open_to_read(path);
    }
    if (descriptor < 0) fail("cannot read", path);
    return std::make_shared<const Descriptor>(descriptor);
  }

  void put_first(uint64_t key, const Opened& file) {
    files_.emplace_front(key, file);
    places_[key] = files_.begin();
  }

  void close_one() {
    places_.erase(files_.back().first);
    files_.pop_back();
  }

  std::atomic<uint64_t> last_key_ = 0;
  std::mutex mutex_;
  std::list<std::pair<uint64_t, Opened>> files_;
  std::unordered_map<uint64_t, std::list<std::pair<uint64_t, Opened>>::iterator> places_;
};

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path) : path_(std::move(path)), partial_(path_) {
  struct stat status {};
  if (stat(path_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    throw InputError(fmt::format("cannot write {}: it exists and is not a regular file", path_.string()));
  }
  partial_ += fmt::format(".partial-{}", getpid());
  descriptor_ = open(partial_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (descriptor_ < 0) fail("cannot write", path_);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(partial_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot write", path_);
    size_ += written;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

void AtomicFile::write_at(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(descriptor_, bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot write", path_);
    offset += written;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) fail("cannot flush to disk", path_);
  const int closed = close(std::exchange(descriptor_, -1));
  if (closed != 0 || rename(partial_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    unlink(partial_.c_str());
    errno = error;
    fail("cannot write", path_);
  }
  sync_directory(path_.parent_path());
}

NewFolder::NewFolder(const std::filesystem::path& path)
    : path_(check(path)), partial_(path_.parent_path() / (".partial-" + path_.filename().string())) {
  struct stat held {
  }, named{};
  do {  // repeat if another process has renamed the folder in between
    if (lock_ >= 0) close(lock_);
    make_directories(partial_);
    lock_ = open(partial_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_ < 0) fail("cannot make the folder", partial_);
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {  // other errors: a file system without locks
      close(std::exchange(lock_, -1));
      throw InputError(fmt::format("another process is writing {}", path_.string()));
    }
  } while (fstat(lock_, &held) != 0 || stat(partial_.c_str(), &named) != 0 || held.st_ino != named.st_ino);
  for (const auto& left : std::filesystem::directory_iterator(partial_)) std::filesystem::remove_all(left.path());
}

NewFolder::~NewFolder() {
  if (lock_ < 0) return;
  std::error_code ignored;
  std::filesystem::remove_all(partial_, ignored);
  close(lock_);
}

std::filesystem::path NewFolder::check(const std::filesystem::path& path) {
  if (path.empty()) throw InputError("the name of the new folder is empty");
  std::filesystem::path whole = std::filesystem::absolute(path).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  const auto status = std::filesystem::symlink_status(whole);
  if (!std::filesystem::exists(status)) return whole;
  const bool empty = std::filesystem::is_directory(status) && std::filesystem::is_empty(whole);
  if (empty && whole != std::filesystem::current_path()) return whole;
  throw InputError(fmt::format("{} already exists; choose another folder or remove this one", whole.string()));
}

void NewFolder::commit() {
  sync_directory(partial_);
  if (rename(partial_.c_str(), path_.c_str()) != 0) fail("cannot make the folder", path_);
  close(std::exchange(lock_, -1));
  sync_directory(path_.parent_path());
}

int64_t raise_limit_of_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return INT64_MAX;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);  // a process may always raise its limit to the hard limit
  return static_cast<int64_t>(std::min(limit.rlim_cur, rlim_t{INT64_MAX}));
}

std::string read_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void make_directories(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    errno = error.value();
    fail("cannot make the folder", path);
  }
}

void sync_directory(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.empty() ? "." : path;
  const Descriptor descriptor(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // EINVAL: a file system that cannot flush a folder has nothing to flush.
  if (descriptor.get() < 0 || (fsync(descriptor.get()) != 0 && errno != EINVAL))
    fail("cannot flush the folder", folder);
}

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  OpenFiles& files = OpenFiles::instance();
  const uint64_t key = files.new_key();
  const struct stat status = files.add(key, path_);
  size_ = status.st_size;
  identity_ = identity_of(status);
  key_ = key;
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      key_(std::exchange(other.key_, 0)),
      size_(other.size_),
      identity_(other.identity_) {}

InputFile::~InputFile() {
  if (key_ != 0) OpenFiles::instance().forget(key_);
}

int64_t InputFile::most_open() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = RLIM_INFINITY;
  return static_cast<int64_t>(std::clamp(limit.rlim_cur / 8, rlim_t{4}, rlim_t{4096}));
}

void InputFile::read(int64_t offset, std::span<std::byte> out) const {
  const OpenFiles::Opened file = OpenFiles::instance().of(key_, path_, identity_);
  while (!out.empty()) {
    const ssize_t count = pread(file->get(), out.data(), out.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot read", path_);
    if (count == 0) {
      throw InputError(fmt::format("{} was truncated while it was in use: it had {} bytes and has {}", path_.string(),
                                   size_, regular_size(file->get(), path_)));
    }
    offset += count;
    out = out.subspan(static_cast<size_t>(count));
  }
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const Descriptor descriptor(open_to_read(path));
  size_ = regular_size(descriptor.get(), path);
  if (size_ == 0) return;
  void* address = mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (address == MAP_FAILED) fail("cannot map", path);
  address_ = static_cast<const std::byte*>(address);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      address_(std::exchange(other.address_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (address_ != nullptr) munmap(const_cast<std::byte*>(address_), static_cast<size_t>(size_));
}

}  // namespace lighthouse
