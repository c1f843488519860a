#include "load/load_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "io/json_value.h"
#include "report/chart.h"
#include "report/page.h"
#include "report/text.h"

namespace hoist::load {

namespace {

using report::Chart;
using report::Series;

void add_row(io::JsonValue& out, const LoadReport& r, const LoadRun& run, const std::string& name,
             double value, const char* unit) {
  io::JsonValue row = {{"name", "serve." + name},          {"shape", r.shape}, {"rate", run.point.rate},
                       {"requests", run.summary.requests}, {"value", nullptr}, {"unit", unit}};
  if (std::isfinite(value)) row["value"] = value;
  out.push_back(std::move(row));
}

void add_rows(io::JsonValue& out, const LoadReport& r, const LoadRun& run) {
  const PointSummary& s = run.summary;
  const auto add = [&](const std::string& name, double value, const char* unit) {
    add_row(out, r, run, name, value, unit);
  };
  const auto spread = [&](const std::string& name, const sim::Distribution& d) {
    add(name + ".mean", d.mean, "s");
    add(name + ".p50", d.p50, "s");
    add(name + ".p90", d.p90, "s");
    add(name + ".p95", d.p95, "s");
    add(name + ".p99", d.p99, "s");
    add(name + ".max", d.max, "s");
  };
  spread("ttft", s.ttft);
  spread("tpot", s.tpot);
  spread("e2e", s.latency);
  spread("token_latency", s.token_latency);
  spread("refusal", s.refusal);
  add("attainment", s.attainment, "share");
  add("attainment.ttft", s.ttft_met, "share");
  add("attainment.tpot", s.tpot_met, "share");
  add("goodput", s.goodput, "requests/s");
  add("output", s.output_rate, "tokens/s");
  add("input", s.input_rate, "tokens/s");
  add("refused", static_cast<double>(s.refused), "requests");
  add("failed", static_cast<double>(s.failed), "requests");
  add("abandoned", static_cast<double>(s.abandoned), "requests");
  add("short", static_cast<double>(s.short_answers), "requests");
  add("lateness", run.point.lateness, "s");
  add("generator", run.point.generator_share, "cores");
}

// One curve per figure of one distribution, against the rate.
Chart by_rate(const LoadReport& r, const char* id, const char* title,
              const sim::Distribution PointSummary::*which) {
  Chart chart;
  chart.id = id;
  chart.title = title;
  chart.x_name = "Requests per second";
  chart.whole_x = false;
  chart.from_zero = true;
  chart.offers_log = true;
  const std::pair<const char*, double sim::Distribution::*> figures[] = {
      {"p50", &sim::Distribution::p50}, {"p90", &sim::Distribution::p90}, {"p99", &sim::Distribution::p99}};
  const char* styles[] = {"train", "validation", "third"};
  for (size_t i = 0; i < 3; ++i) {
    Series s;
    s.name = figures[i].first;
    s.style = styles[i];
    s.dots = true;
    for (const LoadRun& run : r.runs) {
      const double v = run.summary.*which.*figures[i].second;
      if (!std::isfinite(v) || run.point.given_up) continue;
      s.x.push_back(run.point.rate);
      s.y.push_back(v);
    }
    chart.series.push_back(std::move(s));
  }
  return chart;
}

Chart attainment(const LoadReport& r) {
  Chart chart;
  chart.id = "attainment";
  chart.title = "Percent of requests within the limits";
  chart.x_name = "Requests per second";
  chart.whole_x = false;
  chart.from_zero = true;
  const std::pair<const char*, double PointSummary::*> figures[] = {
      {"both", &PointSummary::attainment},
      {"first token", &PointSummary::ttft_met},
      {"tokens after it", &PointSummary::tpot_met}};
  const char* styles[] = {"train", "validation", "third"};
  for (size_t i = 0; i < 3; ++i) {
    Series s;
    s.name = figures[i].first;
    s.style = styles[i];
    s.dots = true;
    for (const LoadRun& run : r.runs) {
      if (run.point.given_up) continue;  // it ended early, so its share says little
      s.x.push_back(run.point.rate);
      s.y.push_back(100 * (run.summary.*figures[i].second));
    }
    chart.series.push_back(std::move(s));
  }
  return chart;
}

Chart by_percentile(const LoadRun& run, const char* id, const std::string& title,
                    double (Served::*measure)() const) {
  Chart chart;
  chart.id = id;
  chart.title = title;
  chart.x_name = "Percentile";
  chart.from_zero = true;
  chart.offers_log = true;
  std::vector<double> values;
  for (const Served& s : run.point.served)
    if (s.good() && s.answer.pieces > 0) values.push_back((s.*measure)());
  std::sort(values.begin(), values.end());
  Series series;
  series.name = "requests";
  series.style = "train";
  for (int p = 0; p <= 100 && !values.empty(); ++p) {
    series.x.push_back(p);
    series.y.push_back(sim::quantile(values, p / 100.0));
  }
  chart.series.push_back(std::move(series));
  return chart;
}

std::string rate_text(double rate) { return rate > 0 ? fmt::format("{:.4g}", rate) : "trace"; }

std::string table(const LoadReport& r) {
  static constexpr const char* kHeads[] = {"TTFT p50",  "p90",       "p99",    "TPOT p50",    "p90",
                                           "p99",       "Whole p50", "p99",    "Tokens/s",    "Within limits",
                                           "Goodput/s", "Refused",   "Failed", "Latest send", "Generator"};
  std::string html =
      "<section aria-labelledby=\"figures\"><h2 id=\"figures\">Seconds, by rate of arrival</h2>\n"
      "<div class=\"table\" tabindex=\"0\" role=\"region\" aria-labelledby=\"figures\"><table>\n<thead><tr>"
      "<th scope=\"col\">Rate</th>";
  for (const char* head : kHeads) html += fmt::format("<th scope=\"col\">{}</th>", head);
  html += "</tr></thead>\n<tbody>\n";
  for (const LoadRun& run : r.runs) {
    const PointSummary& s = run.summary;
    html += fmt::format("<tr><th scope=\"row\">{}{}</th>", rate_text(run.point.rate),
                        run.point.given_up ? " (given up)" : "");
    for (double v : {s.ttft.p50, s.ttft.p90, s.ttft.p99, s.tpot.p50, s.tpot.p90, s.tpot.p99, s.latency.p50,
                     s.latency.p99, s.output_rate})
      html += fmt::format("<td>{}</td>", report::value(v));
    html += fmt::format(
        "<td>{:.1f} %</td><td>{}</td><td>{}</td><td>{}</td><td>{:.1f} ms</td><td>{:.1f} %</td></tr>\n",
        100 * s.attainment, report::value(s.goodput), report::grouped(s.refused), report::grouped(s.failed),
        1000 * run.point.lateness, 100 * run.point.generator_share);
  }
  return html + "</tbody></table></div>\n</section>\n";
}

}  // namespace

std::string to_json(const LoadReport& r) {
  io::JsonValue out = io::JsonValue::array();
  for (const LoadRun& run : r.runs) add_rows(out, r, run);
  if (r.max_rate > 0)
    out.push_back({{"name", "serve.max_rate"},
                   {"shape", r.shape},
                   {"value", r.max_rate},
                   {"unit", "requests/s"},
                   {"slo_ttft", r.slo.ttft},
                   {"slo_tpot", r.slo.tpot},
                   {"share", r.share}});
  return out.dump(1);
}

std::string header_line() {
  return "   rate   sent   good refused failed   ttft p50      p99   tpot p50      p99    e2e p50      p99  "
         "in limits  goodput   out tok/s  late ms  gen %";
}

std::string to_line(const LoadRun& run) {
  const PointSummary& s = run.summary;
  return fmt::format(
      "{:>7} {:6} {:6} {:7} {:6} {:10.4f} {:8.4f} {:10.4f} {:8.4f} {:10.3f} {:8.3f} {:9.1f}% {:8.3f} "
      "{:11.1f} "
      "{:8.2f} {:6.2f}{}",
      run.point.rate > 0 ? fmt::format("{:.4g}", run.point.rate) : "trace", s.requests, s.good, s.refused,
      s.failed, s.ttft.p50, s.ttft.p99, s.tpot.p50, s.tpot.p99, s.latency.p50, s.latency.p99,
      100 * s.attainment, s.goodput, s.output_rate, 1000 * run.point.lateness,
      100 * run.point.generator_share,
      run.point.given_up ? fmt::format("  given up, {} left", s.abandoned) : "");
}

std::string render(const LoadReport& r) {
  std::string body;
  if (r.max_rate > 0)
    body += fmt::format(
        "<p class=\"hint\">{:.4g} requests per second are served with {:.4g} % within the limits.</p>\n",
        r.max_rate, 100 * r.share);
  if (r.runs.size() > 1) {
    body += report::render_chart(attainment(r));
    body +=
        report::render_chart(by_rate(r, "ttft-by-rate", "Seconds to the first token", &PointSummary::ttft));
    body += report::render_chart(
        by_rate(r, "tpot-by-rate", "Seconds per token after the first", &PointSummary::tpot));
    body += report::render_chart(by_rate(r, "e2e-by-rate", "Seconds to completion", &PointSummary::latency));
  }
  const LoadRun* last = nullptr;
  for (const LoadRun& run : r.runs)
    if (!run.point.given_up && run.summary.good > 0) last = &run;
  if (last) {
    const std::string at =
        last->point.rate > 0 ? fmt::format(", at {:.4g} requests per second", last->point.rate) : "";
    body +=
        report::render_chart(by_percentile(*last, "ttft", "Seconds to the first token" + at, &Served::ttft));
    body += report::render_chart(
        by_percentile(*last, "tpot", "Seconds per token after the first" + at, &Served::tpot));
    body += report::render_chart(by_percentile(*last, "e2e", "Seconds to completion" + at, &Served::latency));
  }
  if (r.runs.empty()) body = "<p class=\"notice\">Nothing was measured.</p>\n";
  body += table(r);
  body += fmt::format(
      "<p class=\"hint\">Within limits: first token at most {:.4g} s after the scheduled arrival, and at "
      "most "
      "{:.4g} s per token after it. Refused: status 429 or 503. Latest send: how far behind its schedule the "
      "generator fell at worst. Generator: its share of one core.</p>\n",
      r.slo.ttft, r.slo.tpot);
  return report::page(r.title, body + report::facts_section("What was measured", r.facts));
}

}  // namespace hoist::load
