// Whole points of load against a server in this process, on a port of the system's choice. What is checked
// never depends on how long anything took.
#include "load/measure.h"

#include <gtest/gtest.h>

#include <atomic>
#include <sstream>

#include "base/error.h"
#include "http/running_server.h"
#include "io/json.h"
#include "load/load_report.h"
#include "sched/workload.h"

namespace hoist::load {
namespace {

struct Loaded {
  explicit Loaded(http::FakeEngineOptions engine = {}, http::ServerOptions options = http::test_options())
      : running(options, by_words(std::move(engine))) {
    running.start();
    url.host = "127.0.0.1";
    url.port = running.port();
    client = std::make_unique<HttpClient>(url, HttpClientOptions{20});
  }
  // /tokenize counts as the fake engine's prompts are counted.
  static http::FakeEngineOptions by_words(http::FakeEngineOptions engine) {
    engine.tokens = [](const std::string& text) {
      std::istringstream words(text);
      std::vector<int64_t> ids;
      for (std::string word; words >> word;) ids.push_back(1);
      return ids;
    };
    return engine;
  }
  Target probed(bool text = false) {
    TargetOptions o;
    o.url = url;
    o.text_prompts = text;
    return probe(*client, o);
  }
  // Without asking the server.
  Target plain() const {
    Target t;
    t.options.url = url;
    t.model = "fake-model";
    t.ids = true;
    t.low_id = 5;
    t.high_id = 100;
    t.usage = true;
    return t;
  }
  http::RunningServer running;
  Url url;
  std::unique_ptr<HttpClient> client;
};

std::vector<sched::Request> requests(int64_t n, double rate) {
  sched::Workload w;
  w.requests = n;
  w.rate = rate;
  w.prompt = sched::parse_lengths("uniform:1..60", "test");
  w.output = sched::parse_lengths("uniform:1..20", "test");
  return sched::generate(w);
}

constexpr sim::Slo kAny{1e9, 1e9};

TEST(Probe, FindsWhatTheServerTakes) {
  Loaded l;
  const Target t = l.probed();
  EXPECT_EQ(t.model, "fake-model");
  EXPECT_EQ(t.context, 512);
  EXPECT_TRUE(t.ids && t.usage);
  EXPECT_EQ(t.added_tokens, 0);
  EXPECT_EQ(t.high_id, 31999);
  EXPECT_GE(t.facts().size(), 5u);
  const Target words = l.probed(true);
  EXPECT_FALSE(words.ids);
  EXPECT_GE(words.words.size(), 4u);
  EXPECT_EQ(words.added_tokens, 0);
}

TEST(Probe, MeasuresWordsByTokenizeWhereThereIsOne) {
  std::atomic<int> asked = 0;
  http::FakeEngineOptions engine;
  engine.tokens = [&](const std::string& text) {
    ++asked;
    // Words with a w are cut in two by this vocabulary.
    std::vector<int64_t> ids = {1};
    for (const char c : text) {
      if (c == ' ' || c == 'w') ids.push_back(1);
    }
    return ids;
  };
  http::RunningServer running(http::test_options(), engine);
  running.start();
  TargetOptions o;
  o.url.host = "127.0.0.1";
  o.url.port = running.port();
  o.text_prompts = true;
  HttpClient client(o.url, {});
  const Target t = probe(client, o);
  EXPECT_GT(asked, 8);
  EXPECT_GE(t.words.size(), 8u);
  for (const std::string& word : t.words) EXPECT_EQ(word.find('w'), word.npos) << word;
}

TEST(Probe, SaysWhyNot) {
  Url nowhere;
  nowhere.host = "127.0.0.1";
  {
    Loaded l;
    nowhere.port = l.url.port;
    TargetOptions o;
    o.url = l.url;
    o.model = "another";
    try {
      probe(*l.client, o);
      FAIL();
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("another"), std::string::npos) << e.what();
    }
  }
  HttpClient client(nowhere, {});
  TargetOptions o;
  o.url = nowhere;
  EXPECT_THROW(probe(client, o), Error);
}

TEST(Points, EveryRequestIsServedAsAsked) {
  for (const bool text : {false, true}) {
    http::FakeEngineOptions engine;
    engine.max_queue = 1000;
    Loaded l(engine);
    const Target t = l.probed(text);
    const auto list = requests(120, 2000);
    const Point point = run_point(*l.client, t, list, {});
    ASSERT_EQ(point.served.size(), list.size());
    for (const Served& s : point.served) {
      ASSERT_TRUE(s.good()) << s.answer.error;
      EXPECT_EQ(s.answer.prompt_tokens, s.request.prompt_tokens);
      EXPECT_EQ(s.answer.tokens(), s.request.output_tokens);
      EXPECT_EQ(s.answer.pieces, s.request.output_tokens);
      EXPECT_GE(s.sent, s.request.arrival);
      EXPECT_LE(s.sent, s.answer.first);
      EXPECT_LE(s.answer.first, s.answer.last);
      EXPECT_LE(s.answer.last, s.ended);
      EXPECT_LE(s.sent - s.request.arrival, point.lateness);
      EXPECT_LE(s.ended, point.seconds + list.front().arrival + 1e-9);
    }
    const PointSummary sum = summarize(point, kAny);
    EXPECT_EQ(sum.good, 120);
    EXPECT_EQ(sum.short_answers, 0);
    EXPECT_EQ(sum.attainment, 1);
    EXPECT_EQ(summarize(point, {0, 1e9}).attainment, 0);
    EXPECT_EQ(summarize(point, {0, 1e9}).tpot_met, 1);
  }
}

TEST(Points, ConnectionsAreKept) {
  Loaded l;
  const Point point = run_alone(*l.client, l.plain(), requests(20, 1), 7);
  EXPECT_EQ(summarize(point, kAny).good, 20);
  EXPECT_EQ(l.client->connections_opened(), 1);
}

TEST(Points, AConnectionClosedMeanwhileIsNoFailure) {
  http::ServerOptions options = http::test_options();
  options.idle_deadline = std::chrono::milliseconds(1);
  Loaded l({}, options);
  for (int i = 0; i < 20; ++i) {
    const Point point = run_alone(*l.client, l.plain(), requests(3, 1), 7);
    EXPECT_EQ(summarize(point, kAny).good, 3);
    std::this_thread::sleep_for(std::chrono::milliseconds(i % 4));
  }
}

TEST(Points, RefusalsAndFailuresAreTold) {
  {
    http::FakeEngineOptions engine;
    engine.max_queue = 0;
    Loaded l(engine);
    const Point point = run_point(*l.client, l.plain(), requests(10, 1000), {});
    const PointSummary s = summarize(point, kAny);
    EXPECT_EQ(s.refused, 10);
    EXPECT_GT(s.refusal.max, 0);
    EXPECT_EQ(s.attainment, 0);
    ASSERT_EQ(reasons(point).size(), 1u);
    EXPECT_TRUE(reasons(point)[0].starts_with("10 x the queue is full")) << reasons(point)[0];
  }
  http::FakeEngineOptions engine;
  engine.fail_after = 0;
  Loaded l(engine);
  const Point point = run_point(*l.client, l.plain(), requests(10, 1000), {});
  const PointSummary s = summarize(point, kAny);
  // What goes wrong before the stream's head is sent has a status of its own, here 503; later it is an event.
  EXPECT_EQ(s.failed + s.refused, 10);
  EXPECT_EQ(s.good, 0);
  ASSERT_EQ(reasons(point).size(), 1u);
  EXPECT_EQ(reasons(point)[0], "10 x the model stopped answering");
}

TEST(Points, AreGivenUpWhenTheLimitsCannotBeMet) {
  Loaded l;
  PointOptions options;
  options.share = 0.9;
  options.slo = {0, 0};
  const auto list = requests(100, 400);
  const Point point = run_point(*l.client, l.plain(), list, options);
  EXPECT_TRUE(point.given_up);
  int64_t abandoned = 0;
  for (const Served& s : point.served) abandoned += s.abandoned;
  EXPECT_GT(abandoned, 0);
  EXPECT_LE(abandoned, 89);
  const PointSummary s = summarize(point, options.slo);
  EXPECT_EQ(s.abandoned, abandoned);
  EXPECT_EQ(s.good + s.abandoned, 100);
  EXPECT_EQ(s.failed, 0);
  // The client is as good as new.
  EXPECT_EQ(summarize(run_point(*l.client, l.plain(), list, {}), kAny).good, 100);
}

TEST(Requests, DependOnTheirNumberOnly) {
  Loaded l;
  const Target t = l.plain();
  const CounterRng rng(1, 2), other(2, 2);
  EXPECT_EQ(t.request(rng, 3, 10, 5, 0), t.request(rng, 3, 10, 5, 0));
  EXPECT_NE(t.request(rng, 3, 10, 5, 0), t.request(rng, 4, 10, 5, 0));
  EXPECT_NE(t.request(rng, 3, 10, 5, 0), t.request(other, 3, 10, 5, 0));
  Target shared = t;
  shared.options.shared_prefix = 6;
  const auto prompt = [&](uint64_t number) {
    const std::string text = shared.request(rng, number, 10, 5, 0);
    const size_t begin = text.find('['), end = text.find(']');
    return text.substr(begin, end - begin);
  };
  const std::string one = prompt(3), two = prompt(4);
  EXPECT_NE(one, two);
  size_t alike = 0, commas = 0;
  while (alike < std::min(one.size(), two.size()) && one[alike] == two[alike]) commas += one[alike++] == ',';
  EXPECT_GE(commas, 6u);
  Target keyed = t;
  keyed.options.keys = {"one", "two"};
  EXPECT_NE(keyed.request(rng, 0, 1, 1, 0).find("Bearer one\r\n"), std::string::npos);
  EXPECT_NE(keyed.request(rng, 0, 1, 1, 3).find("Bearer two\r\n"), std::string::npos);
}

TEST(Report, HasRowsAndAPage) {
  Loaded l;
  LoadReport report;
  report.shape = "poisson";
  report.max_rate = 3;
  report.facts = {{"Server", "<b>"}};
  for (const double rate : {400.0, 800.0}) {
    LoadRun run;
    run.point = run_point(*l.client, l.plain(), requests(20, rate), {});
    run.point.rate = rate;
    run.summary = summarize(run.point, report.slo);
    EXPECT_NE(to_line(run).find("     20     20       0      0 "), std::string::npos) << to_line(run);
    report.runs.push_back(std::move(run));
  }
  const std::string text = to_json(report);
  const io::JsonDocument rows = io::JsonDocument::parse(text, "rows");
  std::set<std::string> names;
  for (const io::Json row : rows.root().elements()) {
    names.insert(std::string(row.get_string("name")));
    EXPECT_EQ(row.get_string("shape"), "poisson");
    row.at("value");
    row.get_string("unit");
  }
  for (const char* name : {"serve.ttft.p50", "serve.tpot.p99", "serve.e2e.mean", "serve.attainment",
                           "serve.goodput", "serve.lateness", "serve.generator", "serve.max_rate"})
    EXPECT_TRUE(names.count(name)) << name;
  const std::string page = render(report);
  EXPECT_NE(page.find("id=\"attainment\""), std::string::npos);
  EXPECT_NE(page.find("&lt;b&gt;"), std::string::npos);
  EXPECT_EQ(page.find("<b>"), std::string::npos);
}

}  // namespace
}  // namespace hoist::load
