// lighthouse eval --retrieval: whether a model finds one digit in a long text.
#include "eval.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

#include "lighthouse/core/error.h"
#include "lighthouse/core/file.h"
#include "lighthouse/core/text.h"
#include "lighthouse/data/text_file.h"
#include "lighthouse/eval/retrieval.h"
#include "lighthouse/report/gnuplot.h"
#include "lighthouse/report/plot.h"
#include "lighthouse/train/model_tokenizer.h"
#include "progress.h"

namespace lighthouse {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const std::string& file) {
  return read_file(file).substr(static_cast<size_t>(begin_of_text(file)));
}

struct Tested {
  std::string title;
  std::string checkpoint;
  int64_t step = 0;
  int64_t trained_length = 0;
  std::vector<RetrievalCell> cells;
};

/// 1/16, 1/8, ... 1 of the model's training length, without lengths too short for filler.
std::vector<int64_t> default_lengths(int64_t trained, int64_t shortest) {
  std::vector<int64_t> lengths;
  for (int64_t parts = 16; parts >= 1; parts /= 2) {
    if (trained / parts >= 2 * shortest) lengths.push_back(trained / parts);
  }
  if (lengths.empty()) {
    throw InputError(
        fmt::format("the model's training length of {} tokens is too short for the retrieval test; set --lengths",
                    format_count(trained)));
  }
  return lengths;
}

RetrievalOptions test_of(const EvalOptions& options, const ModelCard& card, const RetrievalTask& task) {
  RetrievalOptions test;
  const int64_t trained = card.stage.batch.sequence_length;
  test.lengths = options.lengths.empty() ? default_lengths(trained, task.shortest()) : options.lengths;
  test.depths = options.depths;
  test.trials = options.trials;
  test.seed = static_cast<uint64_t>(options.seed);
  test.kind = attention_of(options);
  test.attention = card.config.attention;
  for (int64_t length : test.lengths) {
    card.warn_if_beyond_training(length);
    test.attention.check(test.kind, length, card.model.num_hidden_layers);
  }
  return test;
}

Tested test(const EvalOptions& options, const std::string& checkpoint, Backend& backend, const StopSignal& stop) {
  const ModelCard card = read_model_card(checkpoint);
  const auto tokenizer = load_tokenizer(card.state, card.model, options.tokenizer);
  const RetrievalTask task(*tokenizer, options.filler.empty() ? "" : text_of(options.filler));
  const RetrievalOptions settings = test_of(options, card, task);
  const DeviceWeights weights(card, backend);
  ProgressLine progress;
  const auto show = [&](int64_t done, int64_t of) {
    stop.check();
    progress.show(static_cast<double>(done) / static_cast<double>(of),
                  fmt::format("{}: prompt {} of {}", card.title(), done, of), done == of);
  };
  return {card.title(), card.path.string(), card.state.step, card.stage.batch.sequence_length,
          test_retrieval(task, card.model, weights.parameters(), backend, settings, show)};
}

std::string percent(double share) {
  return fmt::format("{:.0f}%", 100 * share);
}

double share(const RetrievalCell& cell) {
  return static_cast<double>(cell.correct) / static_cast<double>(cell.trials);
}

void print(const EvalOptions& options, const Tested& tested) {
  std::vector<std::string> header{"length"};
  for (int64_t d = 0; d < options.depths; ++d) {
    header.push_back("at " + percent(tested.cells[static_cast<size_t>(d)].depth));
  }
  header.emplace_back("all");
  TextTable table(header);
  const auto columns = static_cast<size_t>(options.depths);
  for (size_t begin = 0; begin < tested.cells.size(); begin += columns) {
    const auto first = tested.cells.begin() + static_cast<int64_t>(begin);
    const std::vector<RetrievalCell> row(first, first + options.depths);
    std::vector<std::string> cells{format_count(row[0].length)};
    for (const RetrievalCell& cell : row) cells.push_back(percent(share(cell)));
    cells.push_back(percent(accuracy(row)));
    table.add_row(cells);
  }
  fmt::print("{}: {:.2f} of the digits found, in {} attention ({} trials for each cell; chance is 0.10)\n\n{}\n",
             tested.title, accuracy(tested.cells), options.attention, options.trials, table.str());
}

Json results_json(const EvalOptions& options, const std::vector<Tested>& all, const Backend& backend) {
  Json json{{"test", "retrieval"}, {"attention", options.attention}, {"backend", backend.description()}};
  json["trials"] = options.trials;
  json["seed"] = options.seed;
  for (const Tested& tested : all) {
    Json cells = Json::array();
    for (const RetrievalCell& cell : tested.cells) {
      cells.push_back({{"length", cell.length}, {"depth", cell.depth}, {"correct", cell.correct}});
    }
    json["models"].push_back({{"title", tested.title},
                              {"checkpoint", tested.checkpoint},
                              {"step", tested.step},
                              {"trained_length", tested.trained_length},
                              {"accuracy", accuracy(tested.cells)},
                              {"cells", cells}});
  }
  return json;
}

std::string plot_of(const EvalOptions& options, const Tested& tested) {
  HeatMap map{"retrieval", "depth of the digit", "length of the prompt (tokens)", {}, {}, {}};
  const auto columns = static_cast<size_t>(options.depths);
  for (size_t i = 0; i < tested.cells.size(); ++i) {
    if (i < columns) map.columns.push_back(percent(tested.cells[i].depth));
    if (i % columns == 0) map.rows.push_back(format_count(tested.cells[i].length));
    map.values.push_back(share(tested.cells[i]));
  }
  return standalone(draw(map));
}

/// Writes retrieval.svg, or for several models retrieval-1.svg, ...
void write_plots(const EvalOptions& options, const std::vector<Tested>& all) {
  if (!gnuplot_is_installed()) {
    spdlog::warn("no heat map drawn: {}", kInstallGnuplot);
    return;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string name = all.size() == 1 ? "retrieval.svg" : fmt::format("retrieval-{}.svg", i + 1);
    write_file(options.out / name, plot_of(options, all[i]));
  }
}

void write(const EvalOptions& options, const std::vector<Tested>& all, const Backend& backend) {
  make_directories(options.out);
  write_file(options.out / "retrieval.json", results_json(options, all, backend).dump(2) + '\n');
  write_plots(options, all);
  spdlog::info("the results are in {}: retrieval.json", options.out.string());
}

}  // namespace

void eval_retrieval(const EvalOptions& options, Backend& backend, const StopSignal& stop) {
  std::vector<Tested> all;
  for (const std::string& checkpoint : options.checkpoints) {
    all.push_back(test(options, checkpoint, backend, stop));
    print(options, all.back());
  }
  if (!options.out.empty()) write(options, all, backend);
}

}  // namespace lighthouse
