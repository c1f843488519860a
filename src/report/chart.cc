#include "report/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "report/axis.h"
#include "report/curve.h"
#include "report/text.h"
#include "report/training_report.h"

namespace hoist::report {
namespace {

constexpr double kUnits = 10000;       // the drawing is this wide and high whatever its size on screen
constexpr double kLogByDefault = 100;  // from this ratio of extremes on
constexpr double kTiny = 1e-100;       // no axis resolves less

struct Extent {
  double low = INFINITY, high = -INFINITY;
  void add(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
  bool empty() const { return low > high; }
};

Series thinned(const Series& series) {
  Series result{series.name, series.style, {}, {}, series.dots};
  for (size_t i : thin(series.y, kMaxPoints)) {
    const double v = series.y[i];
    result.x.push_back(series.x[i]);
    result.y.push_back(!is_drawable(v) ? kUnknown : std::abs(v) < kTiny ? 0 : v);
  }
  return result;
}

int64_t across(const Axis& axis, double v) { return std::llround(axis.place(v) * kUnits); }
int64_t down(const Axis& axis, double v) { return std::llround((1 - axis.place(v)) * kUnits); }

// Lines through the points, broken where values are missing. A length of nothing with round caps is a dot.
std::string path(const Series& series, const Axis& x, const Axis& y, bool dots) {
  std::string d;
  auto out = std::back_inserter(d);
  bool joined = false;
  for (size_t i = 0; i < series.x.size(); ++i) {
    if (std::isnan(series.y[i])) {
      joined = false;
      continue;
    }
    const bool alone = !joined && (i + 1 == series.x.size() || std::isnan(series.y[i + 1]));
    fmt::format_to(out, "{}{} {}", joined && !dots ? 'L' : 'M', across(x, series.x[i]), down(y, series.y[i]));
    if (dots || alone) d += "h0";
    joined = true;
  }
  return d;
}

std::string drawing(const std::vector<Series>& all, const Axis& x, const Axis& y, const char* scale) {
  std::string html = fmt::format(
      "<svg class=\"{}\" viewBox=\"0 0 {} {}\" preserveAspectRatio=\"none\" aria-hidden=\"true\">", scale,
      kUnits, kUnits);
  html += "<path class=\"grid\" d=\"";
  for (const Tick& tick : y.ticks) html += fmt::format("M0 {}H{}", down(y, tick.value), kUnits);
  html += "\"/>";
  for (const Series& s : all) {
    html += fmt::format("<path class=\"line {}\" d=\"{}\"/>", s.style, path(s, x, y, false));
    if (s.dots) html += fmt::format("<path class=\"dots {}\" d=\"{}\"/>", s.style, path(s, x, y, true));
  }
  return html + "</svg>";
}

std::string y_labels(const Axis& axis, const char* scale) {
  std::string html;
  for (const Tick& tick : axis.ticks)
    html += fmt::format("<span class=\"y {}\" style=\"top:{:.2f}%\">{}</span>", scale,
                        100 * (1 - axis.place(tick.value)), tick.label);
  return html;
}

std::string x_labels(const Axis& axis) {
  std::string html;
  for (const Tick& tick : axis.ticks)
    html += fmt::format("<span class=\"x\" style=\"left:{:.2f}%\">{}</span>", 100 * axis.place(tick.value),
                        tick.label);
  return html;
}

size_t last_known(const Series& s) {
  size_t i = s.y.size();
  while (i > 0 && std::isnan(s.y[i - 1])) --i;
  return i;  // one past it; 0 if there is none
}

std::string legend(const std::vector<Series>& all) {
  std::string html = "<ul class=\"legend\">";
  for (const Series& s : all) {
    const size_t last = last_known(s);
    html +=
        fmt::format("<li class=\"{}\"><i aria-hidden=\"true\"></i><span>{}</span> <output>{}</output></li>",
                    s.style, escape(s.name), value(last ? s.y[last - 1] : kUnknown));
  }
  return html + "</ul>";
}

std::string numbers(const std::vector<double>& list) {
  std::string json = "[";
  for (double v : list)
    json += (json.size() > 1 ? "," : "") + (std::isnan(v) ? std::string("null") : fmt::format("{:.9g}", v));
  return json + "]";
}

std::string counts(const std::vector<double>& list) {
  std::string json = "[";
  for (double v : list) json += (json.size() > 1 ? "," : "") + fmt::format("{:.0f}", v);
  return json + "]";
}

std::string data(const std::vector<Series>& all, bool whole_x, const Axis& x, const Axis& linear,
                 const Axis* log) {
  std::string json =
      fmt::format("{{\"x\":[{},{}],\"linear\":[{},{}],", x.low, x.high, linear.low, linear.high);
  if (log) json += fmt::format("\"log\":[{},{}],", log->low, log->high);
  json += "\"series\":[";
  for (size_t i = 0; i < all.size(); ++i)
    json += fmt::format("{}{{\"x\":{},\"y\":{}}}", i ? "," : "",
                        whole_x ? counts(all[i].x) : numbers(all[i].x), numbers(all[i].y));
  return json + "]}";
}

std::string summary(const Chart& chart, const std::vector<Series>& all) {
  std::string name = chart.x_name;
  if (name[0] >= 'A' && name[0] <= 'Z') name[0] = static_cast<char>(name[0] - 'A' + 'a');
  std::string text = chart.title + " by " + name + ".";
  for (const Series& s : all) {
    Extent extent;
    for (double v : s.y)
      if (!std::isnan(v)) extent.add(v);
    if (!extent.empty())
      text += fmt::format(" {}: from {} to {}, last {}.", s.name, value(extent.low), value(extent.high),
                          value(s.y[last_known(s) - 1]));
  }
  return text;
}

}  // namespace

std::string render_chart(const Chart& chart) {
  std::vector<Series> all;
  Extent steps, values;
  for (const Series& series : chart.series) {
    Series s = thinned(series);
    if (!last_known(s)) continue;
    for (double v : s.x) steps.add(v);
    for (double v : s.y)
      if (!std::isnan(v)) values.add(v);
    all.push_back(std::move(s));
  }
  if (all.empty()) return "";
  const Axis x = chart.whole_x ? step_axis(steps.low == 1 && steps.high > 1 ? 0 : steps.low, steps.high)
                               : range_axis(steps.low, steps.high);
  const Axis linear = linear_axis(values.low, values.high, chart.from_zero);
  const bool has_log = chart.offers_log && values.low > 0;
  const Axis log = has_log ? logarithmic_axis(values.low, values.high) : Axis();
  const bool start_log = has_log && values.high / values.low >= kLogByDefault;

  std::string html = fmt::format("<figure class=\"chart\" id=\"{}\" data-scale=\"{}\" data-x=\"{}\">\n",
                                 chart.id, start_log ? "log" : "linear", escape(chart.x_name));
  html += fmt::format("<figcaption><h2>{}</h2>", escape(chart.title));
  if (has_log)
    html += fmt::format(
        "<button type=\"button\" class=\"scale\" aria-pressed=\"{}\" hidden>Log scale</button>", start_log);
  html += "</figcaption>\n" + legend(all);
  html += fmt::format("\n<div class=\"plot\" role=\"group\" aria-label=\"{}\"><div class=\"area\">",
                      escape(summary(chart, all)));
  html += drawing(all, x, linear, "linear");
  if (has_log) html += drawing(all, x, log, "log");
  html += "</div>" + y_labels(linear, "linear");
  if (has_log) html += y_labels(log, "log");
  html += x_labels(x) + "</div>\n<p class=\"steps\"><span class=\"at\"></span><span>" + escape(chart.x_name) +
          "</span></p>\n";
  html += "<script type=\"application/json\">" +
          data(all, chart.whole_x, x, linear, has_log ? &log : nullptr) + "</script>\n";
  return html + "</figure>\n";
}

}  // namespace hoist::report
