// Figures from results, and the page made of them.
#include "sim/summary.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sim/serve_report.h"
#include "sim/support.h"

namespace hoist::sim {
namespace {

TEST(Summary, QuantilesInterpolate) {
  const Distribution d = distribution({4, 1, 3, 2, 5});
  EXPECT_EQ(d.mean, 3);
  EXPECT_EQ(d.p50, 3);
  EXPECT_DOUBLE_EQ(d.p90, 4.6);
  EXPECT_EQ(d.max, 5);
  EXPECT_TRUE(std::isnan(distribution({}).mean));
  EXPECT_EQ(distribution({7}).p99, 7);
}

TEST(Summary, AttainmentIsJoint) {
  ServeResult r;
  r.seconds = 10;
  auto add = [&](double ttft, double tpot) {
    RequestResult q;
    q.request.output_tokens = 11;
    q.first_token = ttft;
    q.completion = ttft + 10 * tpot;
    r.requests.push_back(q);
  };
  add(0.2, 0.05);
  add(0.2, 0.2);
  add(0.5, 0.05);
  add(0.5, 0.2);
  RequestResult refused;
  refused.refused = sched::Refusal::kTooLong;
  r.requests.push_back(refused);
  const Summary s = summarize(r, {0.25, 0.1});
  EXPECT_DOUBLE_EQ(s.attainment, 0.2);
  EXPECT_DOUBLE_EQ(s.goodput, 0.1);
  EXPECT_DOUBLE_EQ(s.throughput, 4.4);
  EXPECT_EQ(s.refused, 1);
}

ServeReport sample(const std::vector<double>& rates) {
  ServeReport report;
  report.title = "Simulated <serving>";
  report.facts = {{"Machine", "a & b"}};
  Machine m = even_machine(4);
  for (double rate : rates)
    for (const char* policy : {"fcfs", "sj-mlfq"}) {
      sched::Workload w;
      w.output = sched::parse_lengths("uniform:1..20", "");
      w.requests = 200;
      w.rate = rate;
      PolicyRun run;
      run.policy = policy;
      run.rate = rate;
      run.result = sim::run(policy, m, sched::generate(w));
      run.summary = summarize(run.result, report.slo);
      report.runs.push_back(run);
    }
  return report;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

TEST(Page, HasEveryPartAndFetchesNothing) {
  for (const std::vector<double>& rates : {std::vector<double>{0.3}, std::vector<double>{0.1, 0.2, 0.3}}) {
    const std::string html = render(sample(rates));
    EXPECT_EQ(count(html, "<figure class=\"chart\""), rates.size() > 1 ? 6u : 3u);
    EXPECT_EQ(count(html, "<figure"), count(html, "</figure>"));
    EXPECT_EQ(count(html, "<section"), count(html, "</section>"));
    EXPECT_EQ(count(html, "<tr>"), 1 + 2 * rates.size());
    for (const char* part :
         {"Simulated &lt;serving&gt;", "a &amp; b", "data-x=\"Percentile\"", "sj-mlfq", "default-src 'none'"})
      EXPECT_NE(html.find(part), std::string::npos) << part;
    for (const char* part : {"http:", "https:", " src=", "url(", "<serving>"})
      EXPECT_EQ(html.find(part), std::string::npos) << part;
    EXPECT_EQ(html, render(sample(rates)));
  }
  EXPECT_NE(render(ServeReport{}).find("No request was served"), std::string::npos);
}

}  // namespace
}  // namespace hoist::sim
