#include "lighthouse/core/file.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <future>
#include <string>
#include <vector>

#include "core/temporary_folder.h"
#include "lighthouse/core/checksum.h"
#include "lighthouse/core/error.h"

namespace lighthouse {
namespace {

namespace fs = std::filesystem;

TEST(AtomicFileTest, AppearsOnCommit) {
  const TemporaryFolder folder;
  AtomicFile file(folder / "a");
  file.write("hello, world");
  const std::string_view patch = "HELLO";
  file.write_at(0, std::as_bytes(std::span(patch)));
  EXPECT_EQ(file.size(), 12);
  EXPECT_FALSE(fs::exists(folder / "a"));
  file.commit();
  EXPECT_EQ(read_file(folder / "a"), "HELLO, world");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
}

TEST(AtomicFileTest, LeavesNothingWithoutCommit) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
  }
  EXPECT_EQ(read_file(folder / "a"), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
}

TEST(AtomicFileTest, LeavesTheOldFileWhenKilled) {
  const TemporaryFolder folder;
  write_file(folder / "a", "old");
  const pid_t child = fork();
  if (child == 0) {
    AtomicFile file(folder / "a");
    file.write("new");
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(read_file(folder / "a"), "old");
}

TEST(AtomicFileTest, NamesTheFileAndTheReason) {
  const TemporaryFolder folder;
  const std::string missing = message_of<InputError>([&] { AtomicFile(folder / "none/a"); });
  EXPECT_TRUE(contains(missing, (folder / "none/a").string()));
  EXPECT_TRUE(contains(missing, "No such file"));

  // A rename would replace a pipe or /dev/null by a file.
  fs::create_directories(folder / "b");
  EXPECT_THROW(write_file(folder / "b", "text"), InputError);
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(contains(message_of<InputError>([&] { write_file(folder / "pipe", "text"); }), "is not a regular file"));
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"b", "pipe"}));
}

TEST(AtomicFileTest, NamesAReadOnlyFolder) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  const TemporaryFolder folder;
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  const std::string message = message_of<InputError>([&] { write_file(folder / "a", "text"); });
  fs::permissions(folder.path(), fs::perms::owner_all);
  EXPECT_TRUE(contains(message, "Permission denied"));
}

TEST(AtomicFileTest, NamesAFullDisk) {
  const TemporaryFolder folder;
  if (mount("none", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
    GTEST_SKIP() << "a small file system can be mounted by root alone";
  }
  write_file(folder / "a", "old");
  const std::string message = message_of<InputError>([&] { write_file(folder / "a", std::string(1 << 20, 'x')); });
  const std::string kept = read_file(folder / "a");
  const auto names = folder.names();
  umount(folder.path().c_str());
  EXPECT_TRUE(contains(message, "No space left"));
  EXPECT_TRUE(contains(message, "free some space"));
  EXPECT_EQ(kept, "old");
  EXPECT_EQ(names, std::vector<std::string>{"a"});
}

TEST(NewFolderTest, AppearsOnCommitOrNotAtAll) {
  const TemporaryFolder folder;
  {
    const NewFolder made(folder / "a");
    write_file(made.partial() / "file", "text");
  }
  EXPECT_TRUE(folder.names().empty());
  fs::create_directories(folder / "a");  // an empty folder may be replaced
  NewFolder made((folder / "a").string() + "/");
  write_file(made.partial() / "file", "text");
  EXPECT_TRUE(fs::is_empty(folder / "a"));
  made.commit();
  EXPECT_EQ(read_file(folder / "a/file"), "text");
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a", "a/file"}));
}

TEST(NewFolderTest, TakesOverWhatAKilledProcessLeft) {
  const TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    const NewFolder made(folder / "a");
    write_file(made.partial() / "half", "text");
    raise(SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  NewFolder made(folder / "a");
  write_file(made.partial() / "file", "text");
  made.commit();
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a", "a/file"}));
}

TEST(NewFolderTest, TwoCannotMakeTheSameFolder) {
  const TemporaryFolder folder;
  NewFolder first(folder / "a");
  write_file(first.partial() / "file", "text");
  EXPECT_TRUE(contains(message_of<InputError>([&] { NewFolder second(folder / "a"); }), "another process"));
  EXPECT_TRUE(fs::exists(first.partial() / "file"));
  first.commit();
  EXPECT_TRUE(contains(message_of<InputError>([&] { NewFolder second(folder / "a"); }), "exists"));
  EXPECT_EQ(folder.names(), (std::vector<std::string>{"a", "a/file"}));
}

TEST(NewFolderTest, RefusesNamesThatAreTaken) {
  const TemporaryFolder folder;
  write_file(folder / "file", "");
  fs::create_directories(folder / "empty");
  fs::create_directory_symlink(folder / "empty", folder / "link");
  fs::create_directory_symlink(folder / "none", folder / "nowhere");
  for (const char* name : {"file", "link", "link/", "nowhere", "empty/.."}) {
    EXPECT_TRUE(contains(message_of<InputError>([&] { NewFolder made(folder / name); }), "exists")) << name;
  }
  EXPECT_TRUE(contains(message_of<InputError>([] { NewFolder made(""); }), "is empty"));
  const fs::path before = fs::current_path();
  fs::current_path(folder / "empty");
  EXPECT_TRUE(contains(message_of<InputError>([] { NewFolder made("."); }), "exists"));
  fs::current_path(before);
  EXPECT_EQ(folder.names().size(), 4);
}

TEST(MappedFileTest, ReadsAndRefuses) {
  const TemporaryFolder folder;
  write_file(folder / "empty", "");
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
  EXPECT_EQ(read_file(folder / "empty"), "");
  EXPECT_THROW(MappedFile(folder / "none"), InputError);
  EXPECT_TRUE(contains(message_of<InputError>([&] { MappedFile file(folder.path()); }), "not a regular file"));

  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(contains(message_of<InputError>([&] { MappedFile file(folder / "pipe"); }), "not a regular file"));

  write_file(folder / "a", "text");
  MappedFile first(folder / "a");
  const MappedFile second = std::move(first);
  EXPECT_EQ(second.bytes().size(), 4);
  EXPECT_EQ(second.path(), folder / "a");
}

std::string read_at(const InputFile& file, int64_t offset, size_t count) {
  std::string text(count, '?');
  file.read(offset, std::as_writable_bytes(std::span(text)));
  return text;
}

TEST(InputFileTest, ReadsAtOffsetsAndRefuses) {
  const TemporaryFolder folder;
  write_file(folder / "a", "some text");
  InputFile first(folder / "a");
  const InputFile file = std::move(first);
  EXPECT_EQ(file.size(), 9);
  EXPECT_EQ(read_at(file, 5, 4), "text");
  EXPECT_EQ(read_at(file, 9, 0), "");
  EXPECT_TRUE(contains(message_of<InputError>([&] { InputFile(folder / "none"); }), "No such file"));
  EXPECT_TRUE(contains(message_of<InputError>([&] { InputFile(folder.path()); }), "not a regular file"));
}

TEST(InputFileTest, NamesTheFaultOfAFileInUse) {
  const TemporaryFolder folder;
  write_file(folder / "a", "text");
  const InputFile file(folder / "a");
  fs::resize_file(folder / "a", 3);
  EXPECT_EQ(read_at(file, 0, 3), "tex");
  EXPECT_TRUE(contains(message_of<InputError>([&] { read_at(file, 0, 4); }), "it had 4 bytes and has 3"));
  write_file(folder / "a", "x");  // replaces the path; the open file stays readable
  EXPECT_EQ(read_at(file, 0, 3), "tex");
  fs::remove(folder / "a");
  EXPECT_EQ(read_at(file, 0, 3), "tex");
  const InputFile broken("/proc/self/mem");  // address 0 is not mapped, so reading there is an I/O error
  EXPECT_TRUE(contains(message_of<InputError>([&] { read_at(broken, 0, 1); }), "cannot read /proc/self/mem: Input/"));
}

/// Lowers the limit on open files during its lifetime.
class FewFiles {
 public:
  explicit FewFiles(rlim_t files) {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit low{files, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  }
  ~FewFiles() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }
  FewFiles(const FewFiles&) = delete;
  FewFiles& operator=(const FewFiles&) = delete;

  const rlimit& before() const { return before_; }

 private:
  rlimit before_{};
};

TEST(InputFileTest, MoreFilesThanMayBeOpen) {
  const FewFiles few(40);
  EXPECT_EQ(InputFile::most_open(), 5);
  const TemporaryFolder folder;
  std::vector<InputFile> files;
  for (int i = 0; i < 100; ++i) {
    write_file(folder / std::to_string(i), "text " + std::to_string(1000 + i));
    files.emplace_back(folder / std::to_string(i));
  }
  std::vector<std::future<void>> readers;
  for (int step : {1, 7, 33}) {
    readers.push_back(std::async(std::launch::async, [&files, step] {
      for (int i = 0; i < 1000; i += step) {
        EXPECT_EQ(read_at(files[static_cast<size_t>(i % 100)], 5, 4), std::to_string(1000 + i % 100));
      }
    }));
  }
  for (auto& reader : readers) reader.get();
}

TEST(InputFileTest, ReadsWithOneFreeDescriptor) {
  const FewFiles few(40);
  const TemporaryFolder folder;
  write_file(folder / "a", "text");
  std::vector<InputFile> files;
  for (int i = 0; i < 3; ++i) files.emplace_back(folder / "a");
  std::vector<int> others;
  for (int other = dup(0); other >= 0; other = dup(0)) others.push_back(other);
  EXPECT_NO_THROW(files.emplace_back(folder / "a"));
  for (const InputFile& file : files) EXPECT_EQ(read_at(file, 0, 4), "text");
  for (const int other : others) close(other);
}

TEST(InputFileTest, RefusesAFileReplacedWhileClosed) {
  const FewFiles few(40);
  const TemporaryFolder folder;
  for (const char* name : {"same", "replaced", "changed", "removed", "other"}) write_file(folder / name, "text");
  const InputFile same(folder / "same"), replaced(folder / "replaced"), changed(folder / "changed"),
      removed(folder / "removed");
  std::vector<InputFile> others;
  for (int i = 0; i < 10; ++i) others.emplace_back(folder / "other");
  write_file(folder / "replaced", "TEXT");
  std::ofstream(folder / "changed") << "TEXT";
  fs::remove(folder / "removed");
  EXPECT_EQ(read_at(same, 0, 4), "text");
  for (const InputFile* file : {&replaced, &changed}) {
    EXPECT_TRUE(contains(message_of<InputError>([&] { read_at(*file, 0, 4); }), "was replaced or changed"));
  }
  EXPECT_TRUE(contains(message_of<InputError>([&] { read_at(removed, 0, 4); }), "No such file"));
}

TEST(InputFileTest, RaisesTheLimitOnOpenFiles) {
  const FewFiles few(32);
  EXPECT_EQ(raise_limit_of_open_files(), static_cast<int64_t>(few.before().rlim_max));
}

TEST(DirectoryTest, CreatesFoldersAndNamesFailures) {
  const TemporaryFolder folder;
  make_directories(folder / "a/b/c");
  make_directories(folder / "a/b/c");
  EXPECT_TRUE(fs::is_directory(folder / "a/b/c"));
  write_file(folder / "file", "");
  EXPECT_THROW(make_directories(folder / "file/b"), InputError);
  EXPECT_NO_THROW(sync_directory(folder.path()));
  EXPECT_THROW(sync_directory(folder / "none"), InputError);
}

TEST(ChecksumTest, SeesEveryBit) {
  const TemporaryFolder folder;
  std::string text(1000, 'a');
  const std::string before = checksum_of(text);
  EXPECT_EQ(before.size(), 16);
  write_file(folder / "a", text);
  EXPECT_EQ(checksum_of_file(folder / "a"), before);
  for (size_t byte : {size_t{0}, size_t{500}, size_t{999}}) {
    text[byte] ^= 1;
    EXPECT_NE(checksum_of(text), before);
    text[byte] ^= 1;
  }
  EXPECT_EQ(checksum_of(""), "2d06800538d394c2");  // XXH3's value for empty input
  EXPECT_THROW(checksum_of_file(folder / "none"), InputError);
}

}  // namespace
}  // namespace lighthouse
