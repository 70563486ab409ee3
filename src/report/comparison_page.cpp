#include "lighthouse/report/comparison_page.h"

#include <fmt/format.h>

#include "lighthouse/core/text.h"
#include "lighthouse/report/plot.h"
#include "run_plots.h"

namespace lighthouse {
namespace {

constexpr const char* kStyle = R"(
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 0; }
p.note { margin: .1rem 0 .6rem; opacity: .75; font-size: .85rem; }
section { margin-top: 2.2rem; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 0 2rem; }
svg { display: block; width: 100%; height: auto; }
.views > input { position: absolute; opacity: 0; pointer-events: none; }
.views > label { display: inline-block; padding: .15rem .7rem; margin-right: .3rem; border: 1px solid var(--grid);
  border-radius: 1rem; font-size: .85rem; cursor: pointer; }
.views > input:checked + label { background: var(--curve-0); border-color: var(--curve-0); color: var(--page); }
.views > input:focus-visible + label { outline: 2px solid var(--curve-1); outline-offset: 1px; }
.view { display: none; margin-top: .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--grid); }
th { font-weight: 600; border-bottom: 2px solid var(--axis); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.run { display: inline-block; margin-right: 1.5rem; }
.run::before { content: ""; display: inline-block; width: .8em; height: .8em; border-radius: 50%; margin-right: .45em;
  background: var(--colour); }
)";

std::string escaped(const std::string& text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '&':
        result += "&amp;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string heading(const std::string& title, const std::string& note) {
  return fmt::format("<h2>{}</h2>\n{}", escaped(title),
                     note.empty() ? "" : fmt::format("<p class=\"note\">{}</p>\n", escaped(note)));
}

std::string html_of(const ReportTable& table) {
  std::string html = "<section>\n" + heading(table.title, table.note) + "<div class=\"scroll\"><table>\n<tr>";
  for (const std::string& cell : table.header) html += "<th>" + escaped(cell) + "</th>";
  html += "</tr>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (const std::string& cell : row) html += "<td>" + escaped(cell) + "</td>";
    html += "</tr>\n";
  }
  return html + "</table></div>\n</section>\n";
}

/// A figure whose views are selected by radio buttons and CSS alone.
std::string html_of(const Figure& figure, size_t number) {
  std::string html = "<section>\n" + heading(figure.title, figure.note);
  if (figure.views.size() == 1) return html + figure.views[0].svg + "</section>\n";
  std::string style = "<style>", buttons, views;
  for (size_t i = 0; i < figure.views.size(); ++i) {
    const std::string id = fmt::format("figure-{}-{}", number, i);
    buttons += fmt::format("<input type=\"radio\" name=\"figure-{}\" id=\"{}\"{}><label for=\"{}\">{}</label>\n",
                           number, id, i == 0 ? " checked" : "", id, escaped(figure.views[i].name));
    views += fmt::format("<div class=\"view\" id=\"{}-view\">{}</div>\n", id, figure.views[i].svg);
    style += fmt::format("#{0}:checked ~ #{0}-view {{ display: block; }} ", id);
  }
  return html + style + "</style>\n<div class=\"views\">\n" + buttons + views + "</div>\n</section>\n";
}

std::string title_of(const std::vector<ReportedRun>& runs) {
  std::vector<std::string> names;
  names.reserve(runs.size());
  for (const ReportedRun& run : runs) names.push_back(run.name);
  return join(names, ", ");
}

std::string legend_of(const std::vector<ReportedRun>& runs) {
  std::string html;
  for (size_t i = 0; i < runs.size(); ++i) {
    const StepMetrics& last = runs[i].history.steps.back();
    const int64_t steps = runs[i].config.total_steps();
    html += fmt::format(
        "<span class=\"run\" style=\"--colour: var(--curve-{})\"><b>{}</b>, {} {} steps, {} tokens, {}</span>\n",
        i % kColours, escaped(runs[i].name), last.step < steps ? fmt::format("{} of", format_count(last.step)) : "all",
        format_count(steps), format_count(last.tokens), format_seconds(last.seconds));
  }
  return html;
}

}  // namespace

std::string comparison_page(const std::vector<ReportedRun>& runs) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n"
      "<style>\n{}{}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n<p>{}</p>\n",
      escaped(title_of(runs)), plot_colours(), kStyle, escaped(title_of(runs)), legend_of(runs));
  const std::vector<Figure> figures = comparison_figures(runs);
  const std::vector<ReportTable> tables = comparison_tables(runs);
  html += html_of(tables.front());
  std::string small;
  for (size_t i = 0; i < figures.size(); ++i) (figures[i].wide ? html : small) += html_of(figures[i], i);
  html += "<div class=\"grid\">\n" + small + "</div>\n";
  for (size_t i = 1; i < tables.size(); ++i) html += html_of(tables[i]);
  html += html_of(memory_table(runs));
  const ReportTable settings = differences_table(runs);
  if (!settings.rows.empty()) html += html_of(settings);
  return html + "</main>\n</body>\n</html>\n";
}

}  // namespace lighthouse
