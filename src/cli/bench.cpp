// lighthouse bench: measures times on this machine.
#include <CLI/CLI.hpp>

#include "commands.h"

namespace lighthouse {

void add_bench_command(CLI::App& program) {
  CLI::App* bench = program.add_subcommand("bench", "Measure times on this machine");
  bench->require_subcommand(1);
  add_bench_attention_command(*bench);
  add_bench_step_command(*bench);
  add_bench_generate_command(*bench);
}

}  // namespace lighthouse
