#include "lighthouse/report/plot.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "lighthouse/core/error.h"
#include "lighthouse/report/gnuplot.h"

namespace lighthouse {
namespace {

class Drawing : public testing::Test {
 protected:
  void SetUp() override {
    if (!gnuplot_is_installed()) GTEST_SKIP() << "gnuplot is not installed";
  }

  static Plot two_curves() {
    Plot plot;
    plot.id = "two";
    plot.x_label = "tokens";
    plot.y_label = "loss";
    plot.curves = {{"first", 0, {{1, 3}, {10, 2}, {100, 1}}}, {"second", 1, {{1, 2}, {50, NAN}, {100, 0.5}}, true}};
    plot.marks = {{10, 0, "pretrain → recovery"}};
    return plot;
  }
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(Drawing, TakesItsColoursFromThePage) {
  const std::string svg = draw(two_curves());
  for (const char* part : {"<svg", "var(--curve-0)", "var(--curve-1)", "var(--text)", "var(--grid)", ">first<",
                           ">second<", ">tokens<", ">loss<", "pretrain → recovery"}) {
    EXPECT_TRUE(holds(svg, part)) << part;
  }
  for (const char* part : {"rgb(", "\"black\"", "<?xml"}) EXPECT_FALSE(holds(svg, part)) << part;
  EXPECT_EQ(svg.find("id='gpPt"), std::string::npos) << "ids of several plots of a page would be the same";
  EXPECT_TRUE(holds(standalone(svg), "prefers-color-scheme: dark"));
}

TEST_F(Drawing, OmitsPointsWithoutALogarithm) {
  Plot plot = two_curves();
  plot.log_x = plot.log_y = true;
  plot.curves[0].points.emplace_back(0, 5);
  plot.curves[1].points.emplace_back(1000, -1);
  EXPECT_TRUE(holds(draw(plot), "var(--curve-1)"));
  plot.curves = {{"none", 0, {{1, -1}, {0, 1}, {1, HUGE_VAL}}}};
  EXPECT_EQ(draw(plot), "");
}

TEST_F(Drawing, LabelsALogarithmicAxisOfOnePoint) {
  Plot plot = two_curves();
  plot.log_y = true;
  plot.curves = {{"one", 0, {{1, 5.45}}}};
  const std::string svg = draw(plot);
  EXPECT_TRUE(holds(svg, ">5<") || holds(svg, "> 5<")) << svg;
  EXPECT_TRUE(holds(svg, ">6<") || holds(svg, "> 6<")) << svg;
}

TEST_F(Drawing, EscapesNames) {
  Plot plot = two_curves();
  plot.curves[0].name = "it's `touch nothing` \"a\\b\"\n<b> & $x_1";
  const std::string svg = draw(plot);
  EXPECT_TRUE(holds(svg, "it's `touch nothing` \"a\\b\" &lt;b> &amp; $x_1")) << svg;
}

TEST_F(Drawing, HeatMapsAndBarsShowTheirNumbers) {
  const std::string map = draw(HeatMap{"map", "depth", "length", {"0%", "100%"}, {"64", "128"}, {0, 0.25, 0.5, 1}});
  for (const char* part : {">0%<", ">25%<", ">50%<", ">100%<", ">128<", ">depth<"})
    EXPECT_TRUE(holds(map, part)) << part;
  const std::string bars = draw(StackedBars{"bars", "GiB", {"a", "b"}, {"weights", "scratch"}, {{1, 2}, {3, 4}}});
  for (const char* part : {">weights<", ">scratch<", ">GiB<", ">a<", ">b<"}) EXPECT_TRUE(holds(bars, part)) << part;
}

TEST_F(Drawing, AFailingScriptReportsWhy) {
  try {
    run_gnuplot("plot 'no such file'\n");
    FAIL() << "nothing was thrown";
  } catch (const RunError& error) {
    EXPECT_TRUE(holds(error.what(), "no such file")) << error.what();
  }
}

TEST(WithoutGnuplot, TheMessageSaysHowToInstallIt) {
  const std::string path = std::getenv("PATH");
  setenv("PATH", "/nonexistent", 1);
  EXPECT_FALSE(gnuplot_is_installed());
  EXPECT_THROW(run_gnuplot(""), InputError);
  setenv("PATH", path.c_str(), 1);
}

TEST(Thinned, KeepsMeansOfIntervals) {
  Points points;
  for (int i = 0; i < 1000; ++i) points.emplace_back(i, 2.0 * i);
  const Points few = thinned(points, 10, false);
  ASSERT_EQ(few.size(), 10U);
  EXPECT_DOUBLE_EQ(few[0].first, 49.5);
  EXPECT_DOUBLE_EQ(few[0].second, 99);
  EXPECT_EQ(thinned(points, 1000, false), points);
}

TEST(Thinned, OnALogarithmicAxisTheStartStaysFine) {
  Points points;
  for (int i = 1; i <= 100000; ++i) points.emplace_back(i, 1);
  const Points few = thinned(points, 100, true);
  EXPECT_LE(few.size(), 100U);
  EXPECT_EQ(few[0].first, 1);
  EXPECT_LT(few[3].first, 10);
}

}  // namespace
}  // namespace lighthouse
