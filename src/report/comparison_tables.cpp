#include "lighthouse/report/comparison_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "lighthouse/config/load.h"
#include "lighthouse/core/text.h"
#include "lighthouse/kernels/planning.h"
#include "lighthouse/train/model_tokenizer.h"
#include "lighthouse/train/run_memory.h"

namespace lighthouse {
namespace {

std::string loss_text(const std::optional<double>& loss) {
  return loss ? fmt::format("{:.4f}", *loss) : "-";
}

ReportTable final_table(const std::vector<ReportedRun>& runs) {
  ReportTable table{"At the end",
                    "losses in nats per token",
                    {"run", "steps", "tokens", "training time", "validation (dense)", "(stage's own)"},
                    {}};
  for (const ReportedRun& run : runs) {
    const StepMetrics& last = run.history.steps.back();
    const auto& validations = run.history.validations;
    table.rows.push_back({run.name, format_count(last.step), format_count(last.tokens), format_seconds(last.seconds),
                          validations.empty() ? "-" : loss_text(validations.back().loss_dense),
                          validations.empty() ? "-" : loss_text(validations.back().loss)});
  }
  return table;
}

/// Looks up a run's loss at a given number of tokens or seconds.
using LossAt = std::optional<double> (*)(const RunHistory&, double);

/// Losses at a point that all runs have reached.
ReportTable table_at(const std::vector<ReportedRun>& runs, const std::string& title, LossAt validation, LossAt training,
                     double common, const std::function<std::string(double)>& format) {
  ReportTable table{title,
                    "validation in dense attention; training: mean of ten steps",
                    {"run", "at " + format(common / 2) + ": validation", "training",
                     "at " + format(common) + ": validation", "training"},
                    {}};
  for (const ReportedRun& run : runs) {
    table.rows.push_back({run.name, loss_text(validation(run.history, common / 2)),
                          loss_text(training(run.history, common / 2)), loss_text(validation(run.history, common)),
                          loss_text(training(run.history, common))});
  }
  return table;
}

ReportTable stages_table(const std::vector<ReportedRun>& runs) {
  ReportTable table{"Stages", "", {"run", "stage", "attention", "steps", "tokens/s"}, {}};
  for (const ReportedRun& run : runs) {
    for (const StageSummary& stage : summarise_stages(run.history)) {
      table.rows.push_back({run.name, stage.name, std::string(name_of(stage.attention)), format_count(stage.steps),
                            format_count(static_cast<int64_t>(stage.tokens_per_second))});
    }
  }
  return table;
}

ReportTable switches_table(const std::vector<ReportedRun>& runs) {
  ReportTable table{"Switches",
                    "training losses in the attention of each stage; a Lighthouse stage's loss is too low, because "
                    "its selection depends on later tokens",
                    {"run", "from", "to", "after step", "loss before", "first loss", "jump", "steps to recover"},
                    {}};
  for (const ReportedRun& run : runs) {
    for (const SwitchSummary& s : summarise_switches(run.history)) {
      table.rows.push_back({run.name, s.from, s.to, format_count(s.step), loss_text(s.before), loss_text(s.after),
                            fmt::format("{:+.4f}", s.jump()),
                            s.steps_to_recover ? format_count(*s.steps_to_recover) : "not yet"});
    }
  }
  return table;
}

/// A backend that reports sizes as the device of the run would.
std::unique_ptr<Backend> planning_backend(const RunConfig& config) {
  if (config.run.device != DeviceChoice::kCuda) return make_cpu_backend();
  CudaOptions planned;
  planned.dtype = config.run.dtype == DTypeChoice::kFloat32 ? DType::kFloat32 : DType::kBFloat16;
  planned.deterministic = config.run.deterministic;
  planned.attention_workspace = config.memory.attention_workspace_bytes();
  return make_planned_cuda_backend(planned);
}

constexpr MemoryUse kUses[] = {MemoryUse::kWeights,     MemoryUse::kGradients, MemoryUse::kOptimizer,
                               MemoryUse::kActivations, MemoryUse::kScratch,   MemoryUse::kBatch};

}  // namespace

std::string ReportTable::str() const {
  TextTable table(header);
  for (const auto& row : rows) table.add_row(row);
  return fmt::format("{}{}\n\n{}\n", title, note.empty() ? "" : fmt::format(" ({})", note), table.str());
}

std::vector<ReportTable> comparison_tables(const std::vector<ReportedRun>& runs) {
  std::vector<RunHistory> histories;
  histories.reserve(runs.size());
  for (const ReportedRun& run : runs) histories.push_back(run.history);
  std::vector<ReportTable> tables{
      final_table(runs),
      table_at(runs, "At equal tokens", dense_validation_at_tokens, training_loss_at_tokens, common_tokens(histories),
               [](double tokens) { return format_si(tokens) + " tokens"; }),
      table_at(runs, "At equal time", dense_validation_at_seconds, training_loss_at_seconds, common_seconds(histories),
               format_seconds),
      stages_table(runs), switches_table(runs)};
  if (tables.back().rows.empty()) tables.pop_back();
  return tables;
}

std::vector<std::pair<std::string, int64_t>> memory_of(const ReportedRun& run) {
  const auto backend = planning_backend(run.config);
  RunConfig config = run.config;
  config.model.tokenizer = "bytes";  // no size depends on the tokenizer, whose file may have moved
  Arena arena;
  RunMemory memory(with_document_ends(config), *backend, Mesh(0, run.ranks));
  memory.lay_out(arena);
  std::vector<std::pair<std::string, int64_t>> uses;
  for (MemoryUse use : kUses) uses.emplace_back(name_of(use), arena.used(use));
  return uses;
}

ReportTable memory_table(const std::vector<ReportedRun>& runs) {
  ReportTable table{"Memory",
                    "per device (of rank 0, where ranks differ), as planned before the first step; passes share "
                    "activations and "
                    "scratch",
                    {"run", "ranks"},
                    {}};
  for (MemoryUse use : kUses) table.header.emplace_back(name_of(use));
  for (const ReportedRun& run : runs) {
    table.rows.push_back({run.name, std::to_string(run.ranks)});
    for (const auto& [use, bytes] : memory_of(run)) table.rows.back().push_back(format_bytes(bytes));
  }
  return table;
}

ReportTable differences_table(const std::vector<ReportedRun>& runs) {
  ReportTable table{"Settings that differ", "", {"setting"}, {}};
  std::map<std::string, std::vector<std::string>> values;  // by setting; one value for each run
  for (size_t i = 1; i < runs.size(); ++i) {
    for (const ConfigDifference& difference : differences(runs[0].config, runs[i].config)) {
      if (difference.key == "run.name" || difference.key == "run.directory") continue;
      auto& row = values[difference.key];
      if (row.empty()) row.assign(runs.size(), difference.before);
      row[i] = difference.after;
    }
  }
  for (const ReportedRun& run : runs) table.header.push_back(run.name);
  for (const auto& [key, row] : values) {
    table.rows.push_back({key});
    table.rows.back().insert(table.rows.back().end(), row.begin(), row.end());
  }
  return table;
}

}  // namespace lighthouse
