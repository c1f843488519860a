// The page's structure: what stands in it, that it closes what it opens, fetches nothing, escapes everything
// and stays small, whatever the run was.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "report/training_report.h"

namespace hoist::report {
namespace {

TrainingReport sample(int64_t steps, int64_t eval_every) {
  TrainingReport r;
  r.title = "Training report: out/run";
  r.facts = {{"Model", "llama, 812,345 parameters"}, {"Machine", "2 cores"}};
  r.recipe = "[train]\nlr = 6e-4\n";
  for (int64_t s = 1; s <= steps; ++s) {
    StepPoint p;
    p.step = s;
    p.loss = 1.5 + 3 / std::sqrt(static_cast<double>(s)) + 0.1 * std::sin(static_cast<double>(s * s));
    p.lr = 6e-4 * std::cos(1.5 * static_cast<double>(s) / static_cast<double>(steps));
    p.grad_norm = s == steps / 3 ? 5000 : 1 + 0.5 * std::cos(static_cast<double>(s * s));
    p.tokens = 768 * s;
    p.tokens_per_second = 15000 + static_cast<double>(s % 97);
    p.seconds = static_cast<double>(s) * 0.05;
    r.points.push_back(p);
    if (eval_every && s % eval_every == 0) r.evals.push_back({s, p.loss + 0.05, s == steps});
  }
  return r;
}

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

// Every element is closed in order; attributes are quoted. Scripts and styles are raw text.
void expect_well_formed(const std::string& html) {
  const std::set<std::string> empty = {"meta", "link", "path"};
  const std::regex tag(R"(<(/?)([a-z][a-z0-9]*)((?:\s+[a-z][-a-zA-Z]*(?:="[^"]*")?)*)(/?)>)");
  std::vector<std::string> open;
  size_t at = html.find('>') + 1;
  while ((at = html.find('<', at)) != std::string::npos) {
    std::smatch m;
    const size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string text = html.substr(at, end - at + 1);
    if (text.size() < 4000) {
      ASSERT_TRUE(std::regex_match(text, m, tag)) << text;
    } else {
      ASSERT_TRUE(text.starts_with("<path ") && text.ends_with("/>")) << text.substr(0, 80);
      at = end + 1;
      continue;
    }
    at = end + 1;
    const std::string name = m[2];
    if (m[1].length()) {
      ASSERT_FALSE(open.empty()) << text;
      ASSERT_EQ(open.back(), name) << text;
      open.pop_back();
    } else if (!empty.count(name)) {
      open.push_back(name);
      if (name == "script" || name == "style") at = html.find("</" + name, at);
    }
  }
  EXPECT_TRUE(open.empty()) << open.back();
}

void expect_self_contained(const std::string& html) {
  for (const char* part :
       {"http:", "https:", "//www", " src=", "@import", "url(", "fetch(", "XMLHttp", "import("})
    EXPECT_EQ(html.find(part), std::string::npos) << part;
  EXPECT_NE(html.find("default-src 'none'"), std::string::npos);
  EXPECT_EQ(count(html, "href="), 1u);
  EXPECT_NE(html.find("href=\"data:,\""), std::string::npos);
}

TEST(Render, HasEveryPart) {
  const std::string html = render(sample(2000, 250));
  expect_well_formed(html);
  expect_self_contained(html);
  EXPECT_TRUE(html.starts_with("<!doctype html>\n<html lang=\"en\">"));
  EXPECT_EQ(count(html, "<figure class=\"chart\""), 4u);
  for (const char* id : {"loss", "lr", "grad_norm", "speed", "evals", "run", "recipe"})
    EXPECT_EQ(count(html, std::string("id=\"") + id + "\""), 1u) << id;
  for (const char* part :
       {"<title>Training report: out/run</title>", "<h1>Training report: out/run</h1>", "Training, mean of ",
        "Validation", "<dt>Model</dt><dd>llama, 812,345 parameters</dd>", "[train]\nlr = 6e-4\n",
        ">best</span>", "1,536,000", "1 min 40 s", "<th scope=\"row\">2,000*</th>", "Over all held-out text"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
  EXPECT_EQ(count(html, "<tr"), 9u);
  EXPECT_LT(html.size(), 1'000'000u);
  EXPECT_EQ(html, render(sample(2000, 250)));
}

// The gradient's spike of 5000 starts its chart on the logarithmic axis; the loss starts on the linear one.
TEST(Render, ChoosesTheScale) {
  const std::string html = render(sample(2000, 0));
  EXPECT_NE(html.find("id=\"loss\" data-scale=\"linear\""), std::string::npos);
  EXPECT_NE(html.find("id=\"grad_norm\" data-scale=\"log\""), std::string::npos);
  EXPECT_NE(html.find("id=\"lr\" data-scale=\"linear\""), std::string::npos);
  EXPECT_EQ(count(html, "class=\"scale\""), 2u);
  EXPECT_EQ(count(html, "<svg class=\"log\""), 2u);
}

TEST(Render, StaysSmallForALongRun) {
  const std::string html = render(sample(200'000, 10));
  EXPECT_LT(html.size(), 1'000'000u);
  expect_self_contained(html);
  EXPECT_NE(html.find("The newest 400 of 20,000 evaluations, and the best."), std::string::npos);
  for (size_t at = html.find(" d=\""); at != std::string::npos; at = html.find(" d=\"", at + 1)) {
    const std::string d = html.substr(at + 4, html.find('"', at + 4) - at - 4);
    EXPECT_LE(count(d, "M") + count(d, "L"), kMaxPoints);
  }
}

TEST(Render, EscapesEveryString) {
  const std::string evil =
      "</script></title></pre><script>alert('1')</script>\"'&<img src=x onerror=alert(1)>";
  TrainingReport r = sample(100, 10);
  r.title = r.recipe = evil;
  r.facts = {{evil, evil}};
  const std::string html = render(r);
  expect_well_formed(html);
  EXPECT_EQ(html.find("<img"), std::string::npos);
  EXPECT_EQ(html.find("alert('1')"), std::string::npos);
  EXPECT_EQ(count(html, "&lt;img src=x onerror=alert(1)&gt;"), 5u);
  EXPECT_EQ(count(html, "<script>"), 1u);
}

TEST(Render, TakesWhateverARunLeaves) {
  const double nan = kUnknown, huge = std::numeric_limits<double>::max(), tiny = 5e-324;
  std::vector<TrainingReport> reports(1);
  reports.push_back(sample(1, 0));
  reports.push_back(sample(1, 1));
  reports.push_back(sample(60, 7));
  for (double v : {nan, std::numeric_limits<double>::infinity(), huge, -huge, tiny, 0.0, 1.0}) {
    TrainingReport r = sample(100, 10);
    for (StepPoint& p : r.points) p.loss = p.lr = p.grad_norm = p.tokens_per_second = p.seconds = v;
    for (EvalPoint& e : r.evals) e.loss = v;
    reports.push_back(r);
    r = sample(100, 10);
    for (size_t i = 0; i < r.points.size(); i += 3) {
      r.points[i].loss = r.points[i].grad_norm = v;
      r.points[i].applied = false;
    }
    reports.push_back(r);
    EXPECT_NE(render(r).find("34 of the logged steps"), std::string::npos);
  }
  TrainingReport far = sample(3, 1);
  for (StepPoint& p : far.points) p.step += (int64_t{1} << 53) - 10, p.tokens = int64_t{1} << 53;
  reports.push_back(far);
  TrainingReport only_evals;
  only_evals.evals = {{5, 2.0, false}};
  reports.push_back(only_evals);
  for (const TrainingReport& r : reports) {
    const std::string html = render(r);
    expect_well_formed(html);
    expect_self_contained(html);
    for (const char* part : {"nan", "inf,", "inf]", "inf\"", "inf%"})
      EXPECT_EQ(html.find(part), std::string::npos) << part;
  }
}

// Both pages speak with one voice: a colour of the report that the server's page has too has the same value
// there.
TEST(Style, SharesTheColoursOfTheServersPage) {
  auto colours = [](const std::string& path) {
    std::ifstream in(std::string(HOIST_SOURCE_DIR) + path);
    std::stringstream text;
    text << in.rdbuf();
    std::map<std::string, std::set<std::string>> found;
    const std::string css = text.str();
    const std::regex property(R"((--[a-z-]+):\s*(#[0-9a-f]+);)");
    for (std::sregex_iterator it(css.begin(), css.end(), property), end; it != end; ++it)
      found[(*it)[1]].insert((*it)[2]);
    return found;
  };
  auto report = colours("/src/report/page/report.css"), page = colours("/src/http/page/style.css");
  ASSERT_GE(report.size(), 10u);
  const std::set<std::string> own = {"--raw",    "--second", "--third",
                                     "--fourth", "--fifth",  "--sixth"};  // curves
  for (const auto& [name, values] : report) EXPECT_TRUE(own.count(name) || values == page[name]) << name;
}

}  // namespace
}  // namespace hoist::report
