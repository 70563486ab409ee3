#include "lighthouse/cli/command_line.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <filesystem>
#include <new>
#include <system_error>

#include "commands.h"
#include "distributed_session.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/log.h"
#include "lighthouse/core/path.h"
#include "lighthouse/core/text.h"
#include "lighthouse/ops/threads.h"
#include "standard_output.h"
#include "version.h"

namespace lighthouse {
namespace {

enum ExitCode : int { kDone = 0, kRunFailed = 1, kInputRefused = 2, kSignal = 128 };

/// Opens closed standard streams on /dev/null. Otherwise a file opened later would get a stream's descriptor, and
/// output meant for the screen. Writes to standard output then fail; writes to standard error are dropped.
void reserve_standard_streams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (fcntl(stream, F_GETFD) >= 0) continue;
    open("/dev/null", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);  // gets the lowest free descriptor
  }
}

/// Ignores the signals of failed writes (file size limits, closed pipes), because the callers check for errors.
/// Training continues when the reader of its log has exited.
void ignore_signals_of_failed_writes() {
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

void cap_threads_and_warn() {
  const int asked = cap_threads();
  if (asked > 0)
    spdlog::warn("OMP_NUM_THREADS is {}, more than the number of processors; using one thread for each processor",
                 asked);
}

/// The parser's own message says only that a command is required.
void refuse_unknown_command(const CLI::App& program, int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return;
  std::vector<std::string> names;
  for (const CLI::App* command : program.get_subcommands([](const CLI::App*) { return true; })) {
    if (command->get_name() == argv[1]) return;
    names.push_back(command->get_name());
  }
  const std::string nearest = nearest_name(argv[1], names);
  throw InputError(fmt::format("unknown command \"{}\"{}; the commands are {}", argv[1],
                               nearest.empty() ? "" : fmt::format("; did you mean \"{}\"?", nearest),
                               join(names, ", ")));
}

}  // namespace

CLI::Validator at_least(int64_t least) {
  const auto check = [least](const std::string& text) {
    int64_t number = 0;
    if (CLI::detail::lexical_cast(text, number) && number >= least) return std::string();
    return fmt::format("\"{}\" is not a whole number; expected {} or more", text, least);
  };
  return {check, "", ""};
}

CLI::Validator expanded_path() {
  const auto expand = [](std::string& text) {
    std::error_code ignored;
    const bool tilde = text == "~" || text.starts_with("~/");
    try {
      if (tilde || !std::filesystem::exists(text, ignored)) text = expand_path(text);
      return std::string();
    } catch (const InputError& error) {
      return std::string(error.what());
    }
  };
  return {expand, ""};
}

void add_config_options(CLI::App& command, std::string& config, std::vector<std::string>& settings) {
  command.add_option("CONFIG", config, "A run's YAML file")->required()->transform(expanded_path());
  command.add_option("--set", settings, "key.path=value: change one value; may be repeated")->allow_extra_args(false);
}

namespace {

int parse_and_run(CLI::App& program, int argc, char** argv) {
  refuse_unknown_command(program, argc, argv);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (program.exit(error) != 0) return kInputRefused;  // --help and --version succeed
  }
  flush_standard_output();
  return kDone;
}

}  // namespace

int run_command_line(int argc, char** argv) {
  ignore_signals_of_failed_writes();
  reserve_standard_streams();
  raise_limit_of_open_files();
  start_logging();
  cap_threads_and_warn();
  CLI::App program("lighthouse: pre-training of Llama-style language models at very long context", "lighthouse");
  program.require_subcommand(1);
  program.set_version_flag("--version", version_text());
  add_train_command(program);
  add_prepare_command(program);
  add_data_command(program);
  add_tokenizer_command(program);
  add_export_command(program);
  add_import_command(program);
  add_config_command(program);
  add_plan_command(program);
  add_eval_command(program);
  add_generate_command(program);
  add_compare_command(program);
  add_bench_command(program);
  try {
    return parse_and_run(program, argc, argv);
  } catch (const SilentExit& exit) {
    return exit.code;
  } catch (const InputError& error) {
    spdlog::error("{}", error.what());
    return kInputRefused;
  } catch (const std::filesystem::filesystem_error& error) {
    spdlog::error("{}", error.what());
    return kInputRefused;
  } catch (const Interrupted& interrupted) {
    return kSignal + interrupted.signal();
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::broken_pipe) return kSignal + SIGPIPE;  // for example `| head`
    spdlog::error("{}", error.what());
    return kRunFailed;
  } catch (const std::bad_alloc&) {
    spdlog::error("out of host memory");
    return kRunFailed;
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    return kRunFailed;
  }
}

}  // namespace lighthouse
