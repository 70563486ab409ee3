#include "lighthouse/report/gnuplot.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "lighthouse/core/error.h"

extern char** environ;  // NOLINT(readability-identifier-naming): the system's name

namespace lighthouse {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

File temporary_file() {
  File file(std::tmpfile());
  if (!file) throw InputError(fmt::format("cannot make a temporary file: {}", std::strerror(errno)));
  return file;
}

std::string whole(const File& file) {
  std::rewind(file.get());
  std::string text;
  char piece[4096];
  for (size_t count = 0; (count = std::fread(piece, 1, sizeof(piece), file.get())) > 0;) text.append(piece, count);
  return text;
}

class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  void connect(const File& file, int descriptor) {
    posix_spawn_file_actions_adddup2(&actions_, fileno(file.get()), descriptor);
  }
  const posix_spawn_file_actions_t* get() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

}  // namespace

bool gnuplot_is_installed() {
  const char* path = std::getenv("PATH");
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const std::string_view folder = rest.substr(0, rest.find(':'));
    if (access(fmt::format("{}/gnuplot", folder).c_str(), X_OK) == 0) return true;
    rest.remove_prefix(std::min(folder.size() + 1, rest.size()));
  }
  return false;
}

std::string run_gnuplot(const std::string& script) {
  if (!gnuplot_is_installed()) throw InputError(kInstallGnuplot);
  const File in = temporary_file(), out = temporary_file(), messages = temporary_file();
  std::fwrite(script.data(), 1, script.size(), in.get());
  std::rewind(in.get());
  FileActions actions;
  actions.connect(in, STDIN_FILENO);
  actions.connect(out, STDOUT_FILENO);
  actions.connect(messages, STDERR_FILENO);
  std::string name = "gnuplot", from_input = "-";
  char* const arguments[] = {name.data(), from_input.data(), nullptr};
  pid_t child = 0;
  const int failed = posix_spawnp(&child, "gnuplot", actions.get(), nullptr, arguments, environ);
  if (failed != 0) throw InputError(fmt::format("gnuplot cannot be started: {}", std::strerror(failed)));
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw RunError("gnuplot failed: " + whole(messages));
  return whole(out);
}

}  // namespace lighthouse
