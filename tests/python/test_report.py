#!/usr/bin/env python3
"""The training report in a real browser: no error, no network, values under the pointer and by keys, fits a phone,
can be read in both themes.

Usage: test_report.py REPORT_HTML            checks this report
       test_report.py HOIST_BINARY RECIPE    trains by the recipe first   (exit 77 when there is no chromedriver)
"""

import pathlib
import shutil
import sys
import tempfile

import browser
import hoist_cli
from page_checks import COLOURS, LABELS, check, check_contrast, failures

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MAX_BYTES = 1_000_000
MIN_CURVE_CONTRAST = 3.0  # WCAG 2.1, 1.4.11: graphics

# Contrast of every curve that says something of its own; the raw loss is repeated, smoothed, by another.
CURVES = COLOURS + """
return [...document.querySelectorAll("path.train, path.validation")].filter((path) => path.checkVisibility()).map((path) =>
  ratio(parse(getComputedStyle(path).stroke), ground(path.closest(".chart"))));
"""

# Texts that lie over each other or leave the window: labels of axes, values, headings.
COLLISIONS = """
const boxes = [...document.querySelectorAll(".x, .y, .at, figcaption h2, .scale, .legend output, .figures dd")]
  .filter((e) => e.checkVisibility() && e.textContent)
  .map((e) => [e.getBoundingClientRect(), e.closest("figure, dl").id + " " + e.textContent]);
const bad = boxes.filter(([b]) => b.left < 0 || b.right > innerWidth).map(([, text]) => text + " leaves the window");
boxes.forEach(([a, first], i) => boxes.slice(i + 1).forEach(([b, second]) => {
  if (a.left < b.right - 0.5 && b.left < a.right - 0.5 && a.top < b.bottom - 2 && b.top < a.bottom - 2)
    bad.push(first + " lies over " + second);
}));
return bad;
"""

READOUT = "return [...document.querySelectorAll('figure.chart')].map((f) => [...f.querySelectorAll('output')].map((o) => o.textContent))"


def check_readout(page):
    rest = page.script(READOUT)
    check(len(rest) >= 3 and all(values and all(values) for values in rest), f"every chart shows its last values {rest}")
    page.script("showAll(charts[0].series[0].x.at(-1))")
    check(page.script(READOUT) == rest, "the script writes numbers as the page itself does")
    page.script("clearAll()")
    middle = page.script("""
      const chart = charts[0], area = chart.area.getBoundingClientRect(), x = chart.series[0].x;
      const step = x[Math.floor(x.length / 2)];
      chart.area.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientY: area.top + 5,
        clientX: area.left + area.width * (step - chart.x[0]) / (chart.x[1] - chart.x[0])}));
      const path = chart.figure.querySelector("svg.linear path.line").getBoundingClientRect();
      const mark = chart.marks[0].getBoundingClientRect(), y = (mark.top + mark.bottom) / 2;
      return {step, shown: charts.map((c) => c.step), text: chart.at.textContent, inside: y >= path.top - 1 && y <= path.bottom + 1};""")
    check(middle["shown"] == [middle["step"]] * len(middle["shown"]), f"the pointer reads all charts at one step {middle}")
    check(middle["inside"] and middle["text"].startswith("Step "), "the mark lies on the curve and the step is named")
    page.script("clearAll()")
    check(page.script(READOUT) == rest, "without the pointer the last values are back")


def check_keys(page):
    got = page.script("""
      const area = charts[0].area, x = charts[0].series[0].x, seen = [];
      const press = (key) => {
        area.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
        seen.push(Number(area.getAttribute("aria-valuenow")));
      };
      area.focus();
      ["Home", "ArrowRight", "End", "ArrowLeft"].forEach(press);
      const text = area.getAttribute("aria-valuetext");
      area.blur();
      return {seen, first: x[0], last: x.at(-1), text, focusable: area.tabIndex === 0};""")
    first, after, last, before = got["seen"]
    check(got["focusable"] and first == got["first"] < after and last == got["last"] > before, f"arrow keys read the curve {got}")
    check("Training" in got["text"], "what is read is said to a screen reader")


def check_scale(page):
    got = page.script("""
      return [...document.querySelectorAll(".scale")].map((button) => {
        const figure = button.closest("figure"), seen = () => ["linear", "log"].filter((scale) =>
          figure.querySelector("svg." + scale).checkVisibility()).join();
        const before = seen();
        button.click();
        const after = seen(), pressed = button.getAttribute("aria-pressed");
        button.click();
        return [before !== after, after === "log" ? pressed === "true" : pressed === "false", seen() === before];
      });""")
    check(got and all(all(one) for one in got), f"the switch changes the scale and back {got}")


def check_width(page, width):
    over = page.script("""
      const wide = (e) => e.scrollWidth - e.clientWidth;
      return {page: wide(document.scrollingElement), inner: Math.max(0, ...[...document.querySelectorAll(".table, .recipe")].map(wide)),
              width: innerWidth};""")
    check(over["page"] <= 0 and over["inner"] <= 0 and over["width"] == width, f"no sideways scroll at {width} px {over}")
    collisions = page.script(COLLISIONS)
    check(collisions == [], f"no text over another at {width} px {collisions}")


def check_report(page, report):
    check(report.stat().st_size <= MAX_BYTES, f"{report.stat().st_size} bytes, at most {MAX_BYTES}")
    page.size(1280, 800)
    page.scheme("light")
    page.open(report.resolve().as_uri())
    check(page.script("return charts.length") >= 3, "charts are there")
    check(page.script("return performance.getEntriesByType('resource').filter((e) => !e.name.startsWith('data:')).length") == 0,
          "nothing is fetched")
    check_readout(page)
    check_keys(page)
    check_scale(page)
    check(page.script(LABELS) == [], "every control has a label")
    for width, height in ((1280, 800), (768, 1024), (360, 740)):
        page.size(width, height)
        page.script("showAll(charts[0].series[0].x[1])")
        check_width(page, width)
        for scheme in ("light", "dark"):
            page.scheme(scheme)
            check_contrast(page, f"{scheme}, {width} px")
            worst = min(page.script(CURVES))
            check(worst >= MIN_CURVE_CONTRAST, f"contrast of the curves {scheme}: at least {worst:.2f}")
    errors = page.console_errors()
    check(errors == [], f"no console error {errors}")


def main():
    if not shutil.which("chromedriver"):
        print("chromedriver is not installed, skipped")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 2:
            hoist_cli.run(sys.argv[1], "train", sys.argv[2], f"output.folder={folder}/run", cwd=ROOT)
            report = pathlib.Path(folder) / "run" / "report.html"
        else:
            report = pathlib.Path(sys.argv[1])
        with browser.browser() as page:
            check_report(page, report)
    if failures:
        print(f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
