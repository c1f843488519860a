// A chart as HTML: an SVG that stretches with the page, labels as text beside it, and the values as JSON for
// the page's script, which reads them out under the pointer.
#pragma once

#include <string>
#include <vector>

namespace hoist::report {

struct Series {
  std::string name;   // in the legend
  std::string style;  // class of page/report.css: its colour and width
  std::vector<double> x, y;
  bool dots = false;  // mark every point
};

struct Chart {
  std::string id, title;
  std::vector<Series> series;  // the pointer follows the points of the first one
  bool from_zero = false;
  bool offers_log = false;  // a switch to a logarithmic axis, where all values are positive
  std::string x_name = "Step";
  bool whole_x = true;  // counts, shown as such; else any numbers
};

// Empty when there is no value to draw. Series are thinned to kMaxPoints.
std::string render_chart(const Chart& chart);

}  // namespace hoist::report
