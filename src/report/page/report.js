// Reads the charts' values out under the pointer or by arrow keys, on all charts at once, and switches their scales.
// Without it the page shows the same charts and their last values.
"use strict";

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

// The same as value() in report/text.cc.
function format(v) {
  const size = Math.abs(v);
  if (v === null || !Number.isFinite(v)) return "\u2013";
  if (v === 0) return "0";
  if (size < 0.01 || size >= 1e15) return v.toExponential(3).replace(/\.?0*e\+?/, "e");
  if (size < 0.1) return String(Number(v.toPrecision(4)));
  if (size < 10) return v.toFixed(4);
  if (size < 100) return v.toFixed(3);
  if (size < 1000) return v.toFixed(1);
  return Math.round(v).toLocaleString("en-US");
}

// Index of the value nearest to `step` among those that are known.
function nearest(series, step) {
  let low = 0, high = series.x.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (series.x[middle] < step) low = middle + 1; else high = middle;
  }
  let before = low, after = low;
  while (before >= 0 && (series.x[before] > step || series.y[before] === null)) --before;
  while (after < series.x.length && series.y[after] === null) ++after;
  if (before < 0) return after;
  if (after >= series.x.length) return before;
  return step - series.x[before] <= series.x[after] - step ? before : after;
}

class ReportChart {
  constructor(figure) {
    this.figure = figure;
    this.area = figure.querySelector(".area");
    this.at = figure.querySelector(".at");
    this.xName = figure.dataset.x;
    this.outputs = [...figure.querySelectorAll("output")];
    this.lasts = this.outputs.map((output) => output.textContent);
    Object.assign(this, JSON.parse(figure.querySelector("script").textContent));
    this.names = [...figure.querySelectorAll(".legend span")].map((name) => name.textContent);
    this.cursor = this.add("cursor");
    this.marks = this.outputs.map((output) => this.add("mark " + output.parentElement.className));
    this.area.setAttribute("role", "slider");
    this.area.setAttribute("aria-label", figure.querySelector("h2").textContent + " at " + this.xName.toLowerCase());
    this.area.setAttribute("aria-valuemin", this.series[0].x[0]);
    this.area.setAttribute("aria-valuemax", this.series[0].x.at(-1));
    this.area.tabIndex = 0;
    this.clear();
    const scale = figure.querySelector(".scale");
    if (scale) {
      scale.hidden = false;
      scale.addEventListener("click", () => {
        const log = figure.dataset.scale !== "log";
        figure.dataset.scale = log ? "log" : "linear";
        scale.setAttribute("aria-pressed", log);
        if (this.step !== null) this.show(this.step);
      });
    }
    for (const event of ["pointermove", "pointerdown"])
      this.area.addEventListener(event, (e) => {
        const box = this.area.getBoundingClientRect();
        const place = clamp((e.clientX - box.left) / box.width, 0, 1);
        showAll(this.snap(this.x[0] + place * (this.x[1] - this.x[0])), this.xName);
      });
    this.area.addEventListener("pointerleave", () => { if (document.activeElement !== this.area) clearAll(); });
    this.area.addEventListener("focus", () => { if (this.step === null) showAll(this.series[0].x.at(-1), this.xName); });
    this.area.addEventListener("blur", clearAll);
    this.area.addEventListener("keydown", (e) => this.key(e));
  }

  add(name) {
    const element = document.createElement("span");
    element.className = name;
    element.hidden = true;
    this.area.append(element);
    return element;
  }

  snap(step) { return this.series[0].x[nearest(this.series[0], step)]; }

  key(event) {
    const xs = this.series[0].x, last = xs.length - 1;
    const moves = {ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: last / 10, PageDown: -last / 10,
                   Home: -last, End: last};
    const move = moves[event.key];
    if (move === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    // A curve of thousands of points is crossed in about a hundred presses.
    const stride = Math.max(1, Math.abs(move) === 1 ? Math.round(last / 100) : Math.round(Math.abs(move)));
    const from = nearest(this.series[0], this.step ?? xs[last]);
    showAll(xs[clamp(from + Math.sign(move) * stride, 0, last)], this.xName);
  }

  place(v) {
    const log = this.figure.dataset.scale === "log";
    const [low, high] = log ? this.log.map(Math.log) : this.linear;
    return 1 - ((log ? Math.log(v) : v) - low) / (high - low);
  }

  across(step) { return 100 * (step - this.x[0]) / (this.x[1] - this.x[0]) + "%"; }

  show(step) {
    this.step = step;
    this.cursor.hidden = false;
    this.cursor.style.left = this.across(step);
    const said = [];
    this.series.forEach((series, i) => {
      const index = nearest(series, step), x = series.x[index], y = series.y[index];
      const text = format(y) + (x === step ? "" : " at " + x.toLocaleString("en-US"));
      this.outputs[i].textContent = text;
      this.marks[i].hidden = y === null;
      this.marks[i].style.left = this.across(x);
      this.marks[i].style.top = 100 * this.place(y) + "%";
      said.push(this.names[i] + " " + text);
    });
    const name = this.xName + " " + step.toLocaleString("en-US");
    this.at.textContent = name;
    this.area.setAttribute("aria-valuenow", step);
    this.area.setAttribute("aria-valuetext", name + ": " + said.join(", "));
  }

  clear() {
    this.step = null;
    this.at.textContent = "";
    this.cursor.hidden = true;
    this.marks.forEach((mark) => { mark.hidden = true; });
    this.outputs.forEach((output, i) => { output.textContent = this.lasts[i]; });
    this.area.setAttribute("aria-valuenow", this.series[0].x.at(-1));
    this.area.setAttribute("aria-valuetext", "last: " + this.names.map((name, i) => name + " " + this.lasts[i]).join(", "));
  }
}

let charts = [];
// On all charts over the same x.
function showAll(step, xName = charts[0].xName) {
  for (const chart of charts) if (chart.xName === xName) chart.show(chart.snap(step));
}
function clearAll() { for (const chart of charts) chart.clear(); }
charts = [...document.querySelectorAll("figure.chart")].map((figure) => new ReportChart(figure));
