#include "sim/serve_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "report/chart.h"
#include "report/page.h"
#include "report/text.h"

namespace hoist::sim {

namespace {

using report::Chart;
using report::Series;

// Curves by policy, in their order; more than these begin again.
constexpr std::array<const char*, 6> kStyles = {"train", "validation", "third", "fourth", "fifth", "sixth"};

std::vector<std::string> policies(const ServeReport& r) {
  std::vector<std::string> names;
  for (const PolicyRun& run : r.runs)
    if (std::find(names.begin(), names.end(), run.policy) == names.end()) names.push_back(run.policy);
  return names;
}

std::vector<double> rates(const ServeReport& r) {
  std::vector<double> out;
  for (const PolicyRun& run : r.runs)
    if (out.empty() || out.back() != run.rate) out.push_back(run.rate);
  return out;
}

using Measure = double (*)(const RequestResult&);

// Seconds by percentile of the requests, at one rate.
Chart by_percentile(const ServeReport& r, double rate, const char* id, const std::string& title,
                    Measure measure) {
  Chart chart;
  chart.id = id;
  chart.title = title;
  chart.x_name = "Percentile";
  chart.from_zero = true;
  chart.offers_log = true;
  size_t at = 0;
  for (const PolicyRun& run : r.runs) {
    if (run.rate != rate) continue;
    std::vector<double> values;
    for (const RequestResult& q : run.result.requests)
      if (q.refused == sched::Refusal::kNone) values.push_back(measure(q));
    Series s;
    s.name = run.policy;
    s.style = kStyles[at++ % kStyles.size()];
    std::sort(values.begin(), values.end());
    for (int p = 0; p <= 99 && !values.empty(); ++p) {
      s.x.push_back(p);
      s.y.push_back(quantile(values, p / 100.0));
    }
    chart.series.push_back(std::move(s));
  }
  return chart;
}

Chart by_rate(const ServeReport& r, const char* id, const char* title, double (*figure)(const Summary&),
              bool offers_log) {
  Chart chart;
  chart.id = id;
  chart.title = title;
  chart.x_name = "Requests per second";
  chart.whole_x = false;
  chart.from_zero = true;
  chart.offers_log = offers_log;
  size_t at = 0;
  for (const std::string& policy : policies(r)) {
    Series s;
    s.name = policy;
    s.style = kStyles[at++ % kStyles.size()];
    s.dots = true;
    for (const PolicyRun& run : r.runs) {
      if (run.policy != policy) continue;
      s.x.push_back(run.rate);
      s.y.push_back(figure(run.summary));
    }
    chart.series.push_back(std::move(s));
  }
  return chart;
}

std::string table(const ServeReport& r, bool sweep) {
  static constexpr const char* kHeads[] = {"Mean",      "p50",       "p90",      "p95",
                                           "p99",       "TTFT p99",  "TPOT p99", "Within limits",
                                           "Goodput/s", "Preempted", "Swapped"};
  std::string html =
      "<section aria-labelledby=\"figures\"><h2 id=\"figures\">Seconds from arrival to completion</h2>\n"
      "<div class=\"table\" tabindex=\"0\" role=\"region\" aria-labelledby=\"figures\"><table>\n<thead><tr>"
      "<th scope=\"col\">Policy</th>";
  if (sweep) html += "<th scope=\"col\">Rate</th>";
  for (const char* head : kHeads) html += fmt::format("<th scope=\"col\">{}</th>", head);
  html += "</tr></thead>\n<tbody>\n";
  for (const PolicyRun& run : r.runs) {
    const Summary& s = run.summary;
    html += fmt::format("<tr><th scope=\"row\">{}</th>", report::escape(run.policy));
    if (sweep) html += fmt::format("<td>{}</td>", report::value(run.rate));
    for (double v :
         {s.latency.mean, s.latency.p50, s.latency.p90, s.latency.p95, s.latency.p99, s.ttft.p99, s.tpot.p99})
      html += fmt::format("<td>{}</td>", report::value(v));
    html += fmt::format("<td>{:.1f} %</td><td>{}</td><td>{}</td><td>{}</td></tr>\n", 100 * s.attainment,
                        report::value(s.goodput), report::grouped(run.result.preemptions),
                        report::grouped(run.result.swaps_out));
  }
  return html + "</tbody></table></div>\n</section>\n";
}

}  // namespace

std::string render(const ServeReport& r) {
  const std::vector<double> all = rates(r);
  const bool sweep = all.size() > 1;
  std::string body;
  if (sweep) {
    body += report::render_chart(by_rate(
        r, "mean-by-rate", "Mean seconds to completion", [](const Summary& s) { return s.latency.mean; },
        true));
    body += report::render_chart(by_rate(
        r, "p99-by-rate", "p99 seconds to completion", [](const Summary& s) { return s.latency.p99; }, true));
    body += report::render_chart(by_rate(
        r, "attainment", "Percent of requests within the limits",
        [](const Summary& s) { return 100 * s.attainment; }, false));
  }
  if (!r.runs.empty()) {
    const double rate = all.back();
    const std::string at = sweep ? ", at " + report::value(rate) + " requests per second" : "";
    body += report::render_chart(by_percentile(r, rate, "latency", "Seconds to completion" + at,
                                               [](const RequestResult& q) { return q.latency(); }));
    body += report::render_chart(by_percentile(r, rate, "ttft", "Seconds to the first token" + at,
                                               [](const RequestResult& q) { return q.ttft(); }));
    body += report::render_chart(by_percentile(r, rate, "tpot", "Seconds per token after the first" + at,
                                               [](const RequestResult& q) { return q.tpot(); }));
  }
  if (body.empty()) body = "<p class=\"notice\">No request was served.</p>\n";
  body += table(r, sweep);
  body += fmt::format(
      "<p class=\"hint\">Within limits: first token after at most {} s and at most {} s per "
      "token after it. Goodput counts the requests that are.</p>\n",
      report::value(r.slo.ttft), report::value(r.slo.tpot));
  return report::page(r.title, body + report::facts_section("What was simulated", r.facts));
}

}  // namespace hoist::sim
