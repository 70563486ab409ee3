// lighthouse eval: validation loss, overall and by position.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "eval.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/eval/forward_pass.h"
#include "lighthouse/eval/position_loss.h"
#include "lighthouse/eval/validation.h"
#include "lighthouse/report/gnuplot.h"
#include "lighthouse/report/plot.h"
#include "lighthouse/train/model_tokenizer.h"
#include "progress.h"

namespace lighthouse {
namespace {

using Json = nlohmann::ordered_json;

struct Evaluation {
  std::string title;
  std::string checkpoint;
  int64_t step = 0;
  std::string data;
  int64_t sequence_length = 0;
  int64_t windows = 0;
  PositionLoss overall;
  std::vector<PositionLoss> by_range;
};

std::vector<PositionRange> ranges_of(const EvalOptions& options, int64_t length) {
  return options.ranges > 0 ? equal_ranges(length, options.ranges) : doubling_ranges(length);
}

/// The settings of the pass, with the document mask of training except for Lighthouse.
PassSettings loss_pass_of(const EvalOptions& options, const ModelCard& card, int64_t length) {
  PassSettings settings = pass_of(options, card, length);
  if (settings.kind != AttentionKind::kLighthouse) settings.document_end = document_end_of(card.config, card.stage);
  return settings;
}

Evaluation evaluate(const EvalOptions& options, const std::string& checkpoint, Backend& backend,
                    const StopSignal& stop) {
  const ModelCard card = read_model_card(checkpoint);
  Evaluation result;
  result.title = card.title();
  result.checkpoint = card.path.string();
  result.step = card.state.step;
  result.data = data_of(options, card);
  result.sequence_length = sequence_length_of(options, card);
  const int64_t wanted =
      options.windows > 0 ? options.windows : card.config.evaluation.batches * card.stage.batch.micro_batch_size;
  const WindowedSource source(result.data, result.sequence_length, card.model.token_count());
  PositionLosses losses(ranges_of(options, result.sequence_length));
  card.warn_if_beyond_training(result.sequence_length);
  const DeviceWeights weights(card, backend);
  ForwardPass pass(card.model, loss_pass_of(options, card, result.sequence_length), backend);
  pass.model().add_hooks({.weights_needed = [&](int64_t) { stop.check(); }});
  BatchFeed feed(backend, pass.inputs().numel());
  ProgressLine progress;
  const int64_t of = std::min(wanted, source.windows());
  const auto add = [&](std::span<const float> window) {
    losses.add(window);
    progress.show(
        static_cast<double>(losses.windows()) / static_cast<double>(of),
        fmt::format("{}: window {} of {}, loss {:.4f}", result.title, losses.windows(), of, losses.overall().loss),
        losses.windows() == of);
  };
  result.windows = evaluate_windows(pass.model(), weights.parameters(), source, wanted, pass.inputs(), pass.targets(),
                                    feed, backend, add);
  result.overall = losses.overall();
  result.by_range = losses.by_range();
  return result;
}

std::string range_text(const PositionRange& range) {
  return fmt::format("{} to {}", format_count(range.begin), format_count(range.end - 1));
}

std::string loss_text(const PositionLoss& loss) {
  return estimate_text({loss.loss, loss.standard_error});
}

void print(const EvalOptions& options, const std::vector<Evaluation>& evaluations) {
  TextTable whole({"model", "windows", "of tokens", "loss", "perplexity"});
  for (const Evaluation& e : evaluations) {
    whole.add_row({e.title, format_count(e.windows), format_count(e.sequence_length), loss_text(e.overall),
                   fmt::format("{:.3f}", std::exp(e.overall.loss))});
  }
  fmt::print("Validation loss in {} attention (nats per token, ± standard error over windows)\n\n{}\n",
             options.attention, whole.str());
  // One table for all models with the same sequence length.
  for (size_t first = 0; first < evaluations.size(); ++first) {
    const auto same = [&](const Evaluation& e) { return e.sequence_length == evaluations[first].sequence_length; };
    if (std::any_of(evaluations.begin(), evaluations.begin() + static_cast<int64_t>(first), same)) continue;
    std::vector<const Evaluation*> columns;
    for (const Evaluation& e : evaluations) {
      if (same(e)) columns.push_back(&e);
    }
    std::vector<std::string> header{"positions"};
    for (const Evaluation* e : columns) header.push_back(e->title);
    TextTable table(header);
    for (size_t i = 0; i < evaluations[first].by_range.size(); ++i) {
      std::vector<std::string> row{range_text(evaluations[first].by_range[i].range)};
      for (const Evaluation* e : columns) row.push_back(loss_text(e->by_range[i]));
      table.add_row(row);
    }
    fmt::print("Loss by position: with a model that uses distant context it falls to the end\n\n{}\n", table.str());
  }
}

Json results_json(const EvalOptions& options, const std::vector<Evaluation>& evaluations, const Backend& backend) {
  Json json{{"test", "loss"}, {"attention", options.attention}, {"backend", backend.description()}};
  for (const Evaluation& e : evaluations) {
    Json ranges = Json::array();
    for (const PositionLoss& loss : e.by_range) {
      ranges.push_back({{"begin", loss.range.begin},
                        {"end", loss.range.end},
                        {"loss", loss.loss},
                        {"standard_error", loss.standard_error}});
    }
    json["models"].push_back({{"title", e.title},
                              {"checkpoint", e.checkpoint},
                              {"step", e.step},
                              {"data", e.data},
                              {"sequence_length", e.sequence_length},
                              {"windows", e.windows},
                              {"loss", e.overall.loss},
                              {"standard_error", e.overall.standard_error},
                              {"by_position", ranges}});
  }
  return json;
}

std::string to_csv(const std::vector<Evaluation>& evaluations) {
  std::string csv = "checkpoint,step,sequence_length,begin,end,loss,standard_error\n";
  for (const Evaluation& e : evaluations) {
    for (const PositionLoss& loss : e.by_range) {
      csv += fmt::format("\"{}\",{},{},{},{},{},{}\n", e.checkpoint, e.step, e.sequence_length, loss.range.begin,
                         loss.range.end, loss.loss, loss.standard_error);
    }
  }
  return csv;
}

/// The loss of each range over the end of the range.
std::string plot_of(const EvalOptions& options, const std::vector<Evaluation>& evaluations) {
  Plot plot;
  plot.id = "loss_by_position";
  plot.x_label = "position (tokens)";
  plot.y_label = "loss (nats per token)";
  plot.log_x = options.ranges == 0;
  for (size_t i = 0; i < evaluations.size(); ++i) {
    Curve curve{evaluations[i].title, static_cast<int>(i), {}, true};
    for (const PositionLoss& loss : evaluations[i].by_range) {
      curve.points.emplace_back(static_cast<double>(loss.range.end), loss.loss);
    }
    plot.curves.push_back(curve);
  }
  return standalone(draw(plot));
}

void write(const EvalOptions& options, const std::vector<Evaluation>& evaluations, const Backend& backend) {
  make_directories(options.out);
  write_file(options.out / "loss.json", results_json(options, evaluations, backend).dump(2) + '\n');
  write_file(options.out / "loss_by_position.csv", to_csv(evaluations));
  if (gnuplot_is_installed()) {
    write_file(options.out / "loss_by_position.svg", plot_of(options, evaluations));
  } else {
    spdlog::warn("no plot drawn: {}", kInstallGnuplot);
  }
  spdlog::info("the results are in {}: loss.json, loss_by_position.csv", options.out.string());
}

}  // namespace

void eval_loss(const EvalOptions& options, Backend& backend, const StopSignal& stop) {
  std::vector<Evaluation> evaluations;
  for (const std::string& checkpoint : options.checkpoints) {
    evaluations.push_back(evaluate(options, checkpoint, backend, stop));
  }
  print(options, evaluations);
  if (!options.out.empty()) write(options, evaluations, backend);
}

}  // namespace lighthouse
