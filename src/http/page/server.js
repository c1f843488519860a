// The server view: what /metrics says, once a second while it is looked at.
"use strict";

(() => {
  const every = 1000, kept = 120;  // ms; points of a curve
  let timer = 0, last = null, curves = {};

  // name -> [{labels, value}], from the text format of Prometheus.
  function parse(text) {
    const out = new Map();
    for (const line of text.split("\n")) {
      const match = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
      if (!match || line.startsWith("#")) continue;
      const labels = {};
      for (const [, key, value] of (match[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = value;
      if (!out.has(match[1])) out.set(match[1], []);
      out.get(match[1]).push({ labels, value: match[3] === "+Inf" ? Infinity : Number(match[3]) });
    }
    return out;
  }

  const sum = (metrics, name) => (metrics.get(`hoist:${name}`) ?? []).reduce((total, s) => total + s.value, 0);
  const rate = (now, name) => Math.max(0, (sum(now.metrics, name) - sum(last.metrics, name)) / (now.time - last.time) * 1000);

  // A quantile of what a histogram got since `before` (null: ever), linear within a bucket as Prometheus does it.
  function quantile(metrics, before, name, share) {
    const buckets = (of) => {
      const by = new Map();
      for (const s of of?.get(`hoist:${name}_bucket`) ?? []) {
        const le = s.labels.le === "+Inf" ? Infinity : Number(s.labels.le);
        by.set(le, (by.get(le) ?? 0) + s.value);
      }
      return by;
    };
    const old = buckets(before);
    const counts = [...buckets(metrics)].sort((a, b) => a[0] - b[0]).map(([le, n]) => [le, n - (old.get(le) ?? 0)]);
    const total = counts.at(-1)?.[1] ?? 0;
    if (total <= 0) return NaN;
    let below = 0, from = 0;
    for (const [le, n] of counts) {
      if (n >= share * total) return le === Infinity ? from : from + (le - from) * (share * total - below) / (n - below || 1);
      below = n;
      from = le;
    }
    return from;
  }

  const whole = (v) => Math.round(v).toLocaleString("en");
  const seconds = (v) => Number.isNaN(v) ? "–" : v < 1 ? `${(1000 * v).toPrecision(3)} ms` : `${v.toPrecision(3)} s`;

  function put(id, value) {
    $(id).textContent = value;
  }

  // A curve as SVG: the latest points, from zero to the greatest of them.
  function draw(id, value, most = 0) {
    const points = curves[id] ??= [];
    points.push(value);
    if (points.length > kept) points.shift();
    const high = Math.max(most, ...points) || 1;
    const place = points.map((v, i) => `${(100 * (kept - points.length + i) / (kept - 1)).toFixed(2)},${(30 - 28 * v / high).toFixed(2)}`);
    $(id).setAttribute("d", points.length > 1 ? `M${place.join("L")}` : "");
  }

  async function look() {
    try {
      const response = await fetch("/metrics");
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const now = { time: performance.now(), metrics: parse(await response.text()) };
      show(now);
      last = now;
      $("server-error").hidden = true;
    } catch (problem) {
      $("server-error").textContent = `No figures: ${problem.message}.`;
      $("server-error").hidden = false;
    }
  }

  function show(now) {
    const m = now.metrics, running = sum(m, "num_requests_running"), waiting = sum(m, "num_requests_waiting");
    put("server-running", whole(running));
    put("server-waiting", whole(waiting));
    const cache = sum(m, "kv_cache_usage_perc");
    put("server-cache", `${(100 * cache).toFixed(1)} %`);
    const queries = sum(m, "prefix_cache_queries_total");
    put("server-hits", queries > 0 ? `${(100 * sum(m, "prefix_cache_hits_total") / queries).toFixed(1)} %` : "–");
    put("server-prompt-total", whole(sum(m, "prompt_tokens_total")));
    put("server-token-total", whole(sum(m, "generation_tokens_total")));
    const ends = {};
    for (const s of m.get("hoist:request_success_total") ?? [])
      ends[s.labels.finished_reason] = (ends[s.labels.finished_reason] ?? 0) + s.value;
    put("server-ends", Object.values(ends).reduce((a, b) => a + b, 0).toLocaleString("en"));
    put("server-failed", whole((ends.error ?? 0)));
    for (const [id, name] of [["ttft", "time_to_first_token_seconds"], ["tpot", "time_per_output_token_seconds"],
      ["e2e", "e2e_request_latency_seconds"]])
      for (const share of [50, 95, 99]) put(`server-${id}-${share}`, seconds(quantile(m, null, name, share / 100)));
    draw("curve-running", running, 4);
    draw("curve-waiting", waiting, 4);
    draw("curve-cache", cache, 1);
    if (!last) return;
    const tokens = rate(now, "generation_tokens_total"), prompts = rate(now, "prompt_tokens_total");
    put("server-tokens", whole(tokens));
    put("server-prompts", whole(prompts));
    const steps = sum(m, "steps_total") - sum(last.metrics, "steps_total");
    const rows = sum(m, "rows_computed_total") - sum(last.metrics, "rows_computed_total");
    put("server-batch", steps > 0 ? (rows / steps).toPrecision(3) : "–");
    draw("curve-tokens", tokens, 1);
    draw("curve-prompts", prompts, 1);
  }

  function shown(view) {
    clearInterval(timer);
    timer = 0;
    if (view !== "server" || document.hidden) return;
    look();
    timer = setInterval(look, every);
  }
  addEventListener("hoist-view", (event) => shown(event.detail));
  document.addEventListener("visibilitychange", () => shown(document.documentElement.dataset.view));
})();
