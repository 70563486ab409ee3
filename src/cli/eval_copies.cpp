// lighthouse eval --copies: the gain on a passage that also occurred some tokens earlier.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "eval.h"
#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/eval/copies.h"
#include "lighthouse/report/gnuplot.h"
#include "lighthouse/report/plot.h"
#include "lighthouse/train/model_tokenizer.h"
#include "progress.h"

namespace lighthouse {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kDefaultWindows = 32;

struct Tested {
  std::string title;
  std::string checkpoint;
  int64_t step = 0;
  std::string data;
  int64_t sequence_length = 0;
  CopyLosses losses;
};

CopyOptions test_of(const EvalOptions& options, int64_t sequence_length) {
  CopyOptions test;
  test.passage = options.passage;
  test.windows = options.windows > 0 ? options.windows : kDefaultWindows;
  test.seed = static_cast<uint64_t>(options.seed);
  test.distances = options.distances;
  if (test.distances.empty() && test.farthest(sequence_length) >= test.passage) {
    test.distances = default_distances(sequence_length, test.passage);
    if (test.distances.empty()) {
      throw InputError(fmt::format(
          "sequences of {} tokens are too short for the default distances, which start at "
          "1,024; give --distances from {} to {}, or a longer --sequence-length",
          format_count(sequence_length), format_count(test.passage), format_count(test.farthest(sequence_length))));
    }
  }
  test.check(sequence_length);
  return test;
}

void warn_of_documents(const ModelCard& card) {
  if (!document_end_of(card.config, card.stage)) return;
  spdlog::warn("{} was trained with a document mask; the copy test attends over the whole sequence", card.title());
}

Tested test(const EvalOptions& options, const std::string& checkpoint, Backend& backend, const StopSignal& stop) {
  const ModelCard card = read_model_card(checkpoint);
  const int64_t length = sequence_length_of(options, card);
  Tested tested{card.title(), card.path.string(), card.state.step, data_of(options, card), length, {}};
  const CopyOptions settings = test_of(options, length);
  const PassSettings pass_settings = pass_of(options, card, length);
  const WindowedSource source(tested.data, length, card.model.token_count());
  card.warn_if_beyond_training(length);
  warn_of_documents(card);
  const DeviceWeights weights(card, backend);
  ForwardPass pass(card.model, pass_settings, backend);
  pass.model().add_hooks({.weights_needed = [&](int64_t) { stop.check(); }});
  ProgressLine progress;
  const auto show = [&](int64_t done, int64_t of) {
    progress.show(static_cast<double>(done) / static_cast<double>(of),
                  fmt::format("{}: pass {} of {}", tested.title, done, of), done == of);
  };
  tested.losses = test_copies(settings, pass, weights.parameters(), source, backend, show);
  return tested;
}

int64_t head_of(const EvalOptions& options) {
  CopyOptions test;
  test.passage = options.passage;
  return test.head();
}

void print(const EvalOptions& options, const Tested& tested) {
  TextTable table({"distance", "without a copy", "with the copy", "gain",
                   fmt::format("gain, first {} tokens", format_count(head_of(options))), "gain, the rest"});
  for (const CopyCell& cell : tested.losses.cells) {
    table.add_row({format_count(cell.distance), estimate_text(cell.passage.without), estimate_text(cell.passage.with),
                   estimate_text(cell.passage.gain), estimate_text(cell.head.gain), estimate_text(cell.rest.gain)});
  }
  fmt::print(
      "{}: loss on passages of {} tokens at the end of {} windows of {} tokens, in {} attention, without and "
      "with "
      "a copy at each distance before them (nats per token, ± standard error over windows)\n\n{}\n",
      tested.title, format_count(options.passage), format_count(tested.losses.windows),
      format_count(tested.sequence_length), options.attention, table.str());
}

/// Prints the gains of all models side by side.
void print_gains(const std::vector<Tested>& all) {
  std::vector<std::string> header{"distance"};
  std::set<int64_t> distances;
  for (const Tested& tested : all) {
    header.push_back(tested.title);
    for (const CopyCell& cell : tested.losses.cells) distances.insert(cell.distance);
  }
  TextTable table(header);
  for (const int64_t distance : distances) {
    std::vector<std::string> row{format_count(distance)};
    for (const Tested& tested : all) {
      const auto& cells = tested.losses.cells;
      const auto cell = std::ranges::find(cells, distance, &CopyCell::distance);
      row.push_back(cell == cells.end() ? "-" : estimate_text(cell->passage.gain));
    }
    table.add_row(row);
  }
  fmt::print("Gain from a copy: a model that uses distant context gains at large distances too\n\n{}\n", table.str());
}

/// The parts of a passage.
std::array<std::pair<const char*, const CopyGain*>, 3> parts_of(const CopyCell& cell) {
  return {{{"passage", &cell.passage}, {"head", &cell.head}, {"rest", &cell.rest}}};
}

Json gain_json(const CopyGain& gain) {
  return {{"loss_without_copy", gain.without.mean},
          {"loss_without_copy_standard_error", gain.without.standard_error},
          {"loss_with_copy", gain.with.mean},
          {"loss_with_copy_standard_error", gain.with.standard_error},
          {"gain", gain.gain.mean},
          {"gain_standard_error", gain.gain.standard_error}};
}

Json results_json(const EvalOptions& options, const std::vector<Tested>& all, const Backend& backend) {
  Json json{{"test", "copies"},           {"attention", options.attention}, {"backend", backend.description()},
            {"passage", options.passage}, {"head", head_of(options)},       {"seed", options.seed}};
  for (const Tested& tested : all) {
    Json distances = Json::array();
    for (const CopyCell& cell : tested.losses.cells) {
      Json entry{{"distance", cell.distance}};
      for (const auto& [name, gain] : parts_of(cell)) entry[name] = gain_json(*gain);
      distances.push_back(entry);
    }
    json["models"].push_back({{"title", tested.title},
                              {"checkpoint", tested.checkpoint},
                              {"step", tested.step},
                              {"data", tested.data},
                              {"sequence_length", tested.sequence_length},
                              {"windows", tested.losses.windows},
                              {"by_distance", distances}});
  }
  return json;
}

std::string to_csv(const std::vector<Tested>& all) {
  std::string csv =
      "checkpoint,step,sequence_length,distance,part,loss_without_copy,loss_without_copy_standard_error,"
      "loss_with_copy,loss_with_copy_standard_error,gain,gain_standard_error\n";
  for (const Tested& tested : all) {
    for (const CopyCell& cell : tested.losses.cells) {
      for (const auto& [name, gain] : parts_of(cell)) {
        csv +=
            fmt::format("\"{}\",{},{},{},{},{},{},{},{},{},{}\n", tested.checkpoint, tested.step,
                        tested.sequence_length, cell.distance, name, gain->without.mean, gain->without.standard_error,
                        gain->with.mean, gain->with.standard_error, gain->gain.mean, gain->gain.standard_error);
      }
    }
  }
  return csv;
}

std::string plot_of(const std::vector<Tested>& all) {
  Plot plot;
  plot.id = "copies";
  plot.x_label = "distance of the copy (tokens)";
  plot.y_label = "gain (nats per token)";
  plot.log_x = true;
  for (size_t i = 0; i < all.size(); ++i) {
    Curve curve{all[i].title, static_cast<int>(i), {}, true};
    for (const CopyCell& cell : all[i].losses.cells) {
      curve.points.emplace_back(static_cast<double>(cell.distance), cell.passage.gain.mean);
    }
    std::ranges::sort(curve.points);
    plot.curves.push_back(curve);
  }
  return standalone(draw(plot));
}

void write(const EvalOptions& options, const std::vector<Tested>& all, const Backend& backend) {
  make_directories(options.out);
  write_file(options.out / "copies.json", results_json(options, all, backend).dump(2) + '\n');
  write_file(options.out / "copies.csv", to_csv(all));
  if (gnuplot_is_installed()) {
    write_file(options.out / "copies.svg", plot_of(all));
  } else {
    spdlog::warn("no plot drawn: {}", kInstallGnuplot);
  }
  spdlog::info("the results are in {}: copies.json, copies.csv", options.out.string());
}

}  // namespace

void eval_copies(const EvalOptions& options, Backend& backend, const StopSignal& stop) {
  std::vector<Tested> all;
  for (const std::string& checkpoint : options.checkpoints) {
    all.push_back(test(options, checkpoint, backend, stop));
  }
  for (const Tested& tested : all) print(options, tested);
  if (all.size() > 1) print_gains(all);
  if (!options.out.empty()) write(options, all, backend);
}

}  // namespace lighthouse
