// render: headline, charts, evaluations, facts and recipe as one page (see training_report.h).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "report/chart.h"
#include "report/curve.h"
#include "report/page.h"
#include "report/text.h"
#include "report/training_report.h"

namespace hoist::report {
namespace {

constexpr size_t kLeastToSmooth = 50;  // fewer points are read better as they are
constexpr size_t kMostEvals = 400;     // rows of the table

std::vector<double> column(const TrainingReport& report, double StepPoint::*member) {
  std::vector<double> values;
  for (const StepPoint& p : report.points) values.push_back(p.*member);
  return values;
}

std::vector<double> steps(const TrainingReport& report) {
  std::vector<double> values;
  for (const StepPoint& p : report.points) values.push_back(static_cast<double>(p.step));
  return values;
}

// What the page derives once: the smoothed loss, and how many points each of its values averages (1: none).
struct Smoothed {
  size_t window = 1;
  std::vector<double> loss;
};

Smoothed smoothed_loss(const TrainingReport& report) {
  Smoothed result;
  if (report.points.size() >= kLeastToSmooth) result.window = report.points.size() / 50 + 3;
  result.loss = smooth(column(report, &StepPoint::loss), result.window);
  return result;
}

Chart loss_chart(const TrainingReport& report, const Smoothed& smoothed) {
  Chart chart{"loss", "Loss, nats per token", {}, false, true};
  const bool smooth = smoothed.window > 1;
  chart.series.push_back(
      {"Training", smooth ? "raw" : "train", steps(report), column(report, &StepPoint::loss)});
  if (smooth)
    chart.series.push_back({fmt::format("Training, mean of {} points", smoothed.window / 2 * 2 + 1), "train",
                            steps(report), smoothed.loss});
  Series validation{"Validation", "validation", {}, {}, report.evals.size() <= 100};
  for (const EvalPoint& e : report.evals) {
    validation.x.push_back(static_cast<double>(e.step));
    validation.y.push_back(e.loss);
  }
  chart.series.push_back(std::move(validation));
  return chart;
}

Chart small_chart(const TrainingReport& report, const char* id, const char* title, double StepPoint::*member,
                  bool offers_log) {
  return {id, title, {{title, "train", steps(report), column(report, member)}}, true, offers_log};
}

// The evaluation over all held-out text, made last; null if there is none.
const EvalPoint* whole_eval(const TrainingReport& report) {
  for (auto e = report.evals.rbegin(); e != report.evals.rend(); ++e)
    if (e->whole && std::isfinite(e->loss)) return &*e;
  return nullptr;
}

// The best of those over the same sample; an evaluation over all of the text does not compare with them.
const EvalPoint* best_eval(const TrainingReport& report) {
  const EvalPoint* best = nullptr;
  for (const EvalPoint& e : report.evals)
    if (!e.whole && std::isfinite(e.loss) && (!best || e.loss < best->loss)) best = &e;
  return best;
}

void add_figure(std::string& html, std::string_view name, const std::string& number,
                const std::string& note) {
  html += fmt::format("<div><dt>{}</dt><dd>{}{}</dd></div>\n", name, number,
                      note.empty() ? "" : fmt::format(" <small>{}</small>", note));
}

// The four or five figures to see first.
std::string headline(const TrainingReport& report, const Smoothed& smoothed) {
  std::string html = "<dl class=\"figures\">\n";
  if (const EvalPoint* whole = whole_eval(report))
    add_figure(html, "Validation loss", value(whole->loss), "all held-out text");
  else if (const EvalPoint* best = best_eval(report))
    add_figure(html, "Best validation loss", value(best->loss), "at step " + grouped(best->step));
  if (!report.points.empty()) {
    const StepPoint& last = report.points.back();
    if (std::isfinite(smoothed.loss.back()))
      add_figure(html, "Last training loss", value(smoothed.loss.back()),
                 smoothed.window > 1 ? "smoothed" : "");
    add_figure(html, "Steps", grouped(last.step), "");
    if (last.tokens > 0) add_figure(html, "Tokens", grouped(last.tokens), "");
    if (std::isfinite(last.seconds)) {
      const std::string rate = last.tokens > 0 && last.seconds > 0
                                   ? value(static_cast<double>(last.tokens) / last.seconds) + " tokens/s"
                                   : "";
      add_figure(html, "Training time", duration(last.seconds), rate);
    }
  }
  return html + "</dl>\n";
}

// Steps that changed nothing are worth a sentence: they point to a learning rate too high, or to broken data.
std::string skipped_steps(const TrainingReport& report) {
  int64_t count = 0, first = 0;
  for (const StepPoint& p : report.points)
    if (!p.applied && count++ == 0) first = p.step;
  if (count == 0) return "";
  return fmt::format(
      "<p class=\"notice\">{} of the logged steps had a gradient that is not finite and changed nothing, the "
      "first of "
      "them step {}.</p>\n",
      grouped(count), grouped(first));
}

std::string charts(const TrainingReport& report, const Smoothed& smoothed) {
  std::string loss = render_chart(loss_chart(report, smoothed));
  if (loss.empty()) loss = "<p class=\"notice\">No step with a finite loss was logged.</p>\n";
  std::string small =
      render_chart(small_chart(report, "lr", "Learning rate", &StepPoint::lr, false)) +
      render_chart(small_chart(report, "grad_norm", "Gradient norm", &StepPoint::grad_norm, true)) +
      render_chart(small_chart(report, "speed", "Tokens per second", &StepPoint::tokens_per_second, false));
  if (!small.empty()) small = "<div class=\"row\">\n" + small + "</div>\n";
  return loss + small;
}

// The newest rows and the best one.
std::vector<const EvalPoint*> shown_evals(const TrainingReport& report, const EvalPoint* best) {
  std::vector<const EvalPoint*> rows;
  const size_t n = report.evals.size();
  for (size_t i = 0; i < n; ++i)
    if (i + kMostEvals >= n || &report.evals[i] == best) rows.push_back(&report.evals[i]);
  return rows;
}

std::string evaluations(const TrainingReport& report, const Smoothed& smoothed) {
  if (report.evals.empty()) return "";
  const EvalPoint* best = best_eval(report);
  const auto rows = shown_evals(report, best);
  std::string html =
      "<section aria-labelledby=\"evals\"><h2 id=\"evals\">Evaluations</h2>\n"
      "<div class=\"table\" tabindex=\"0\" role=\"region\" aria-labelledby=\"evals\"><table>\n"
      "<thead><tr><th scope=\"col\">Step</th><th scope=\"col\">Validation loss</th>"
      "<th scope=\"col\">Perplexity</th><th scope=\"col\">Training loss</th><th "
      "scope=\"col\">Time</th></tr></thead>\n"
      "<tbody>\n";
  bool any_whole = false;
  for (const EvalPoint* e : rows) {
    const auto after = std::upper_bound(report.points.begin(), report.points.end(), e->step,
                                        [](int64_t step, const StepPoint& p) { return step < p.step; });
    const size_t at = static_cast<size_t>(after - report.points.begin());
    any_whole |= e->whole;
    html += fmt::format(
        "<tr{}><th scope=\"row\">{}{}</th><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        e == best ? " class=\"best\"" : "", grouped(e->step), e->whole ? "*" : "", value(e->loss),
        e == best ? " <span class=\"tag\">best</span>" : "", value(std::exp(e->loss)),
        value(at ? smoothed.loss[at - 1] : kUnknown), clock(at ? report.points[at - 1].seconds : kUnknown));
  }
  html += "</tbody></table></div>\n";
  if (any_whole) html += "<p class=\"hint\">* Over all held-out text; the others over a sample of it.</p>\n";
  if (rows.size() < report.evals.size())
    html += fmt::format("<p class=\"hint\">The newest {} of {} evaluations, and the best.</p>\n", kMostEvals,
                        grouped(static_cast<int64_t>(report.evals.size())));
  return html + "</section>\n";
}

std::string facts(const TrainingReport& report) {
  if (report.facts.empty()) return "";
  std::string html = "<section aria-labelledby=\"run\"><h2 id=\"run\">Run</h2>\n<dl class=\"facts\">\n";
  for (const auto& [name, text] : report.facts)
    html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escape(name), escape(text));
  return html + "</dl></section>\n";
}

std::string recipe(const TrainingReport& report) {
  if (report.recipe.empty()) return "";
  return "<section aria-labelledby=\"recipe\"><h2 id=\"recipe\">Recipe</h2>\n<pre class=\"recipe\" "
         "tabindex=\"0\" "
         "role=\"region\" aria-labelledby=\"recipe\">" +
         escape(report.recipe) + "</pre></section>\n";
}

}  // namespace

std::string render(const TrainingReport& report) {
  const Smoothed smoothed = smoothed_loss(report);
  std::string body = headline(report, smoothed) + skipped_steps(report) + charts(report, smoothed);
  const std::string left = evaluations(report, smoothed), right = facts(report);
  if (!left.empty() || !right.empty()) body += "<div class=\"pair\">\n" + left + right + "</div>\n";
  return page(report.title, body + recipe(report));
}

}  // namespace hoist::report
