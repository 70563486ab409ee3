#include "lighthouse/cli/command_line.h"

#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>

#include "commands.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/log.h"

namespace lighthouse {
namespace {

enum ExitCode : int { kDone = 0, kRunFailed = 1, kInputRefused = 2, kSignal = 128 };

int parse_and_run(CLI::App& program, int argc, char** argv) {
  try {
    program.parse(argc, argv);
    return kDone;
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? kDone : kInputRefused;  // --help is no failure
  }
}

}  // namespace

int run_command_line(int argc, char** argv) {
  start_logging();
  CLI::App program("lighthouse: pre-training of Llama-style language models at very long context", "lighthouse");
  program.require_subcommand(1);
  program.set_version_flag("--version", LIGHTHOUSE_VERSION);
  add_train_command(program);
  add_prepare_command(program);
  add_config_command(program);
  add_plan_command(program);
  add_generate_command(program);
  add_compare_command(program);
  add_bench_command(program);
  try {
    return parse_and_run(program, argc, argv);
  } catch (const InputError& error) {
    spdlog::error("{}", error.what());
    return kInputRefused;
  } catch (const Interrupted& interrupted) {
    return kSignal + interrupted.signal();
  } catch (const std::bad_alloc&) {
    spdlog::error("the system has no more memory to give");
    return kRunFailed;
  } catch (const std::exception& error) {
    spdlog::error("{}", error.what());
    return kRunFailed;
  }
}

}  // namespace lighthouse
