// What the views of the page share: settings, theme, the model, streams of events, which view is shown.
"use strict";

const $ = (id) => document.getElementById(id);

const store = {
  get(key) {
    try { return localStorage.getItem(key); } catch { return null; }
  },
  set(key, value) {
    try { localStorage.setItem(key, value); } catch { /* forbidden: the setting lasts as long as the page */ }
  },
};

// ---- settings ----

const defaults = {
  temperature: "0.8", max_tokens: "200", top_p: "0.95", top_k: "0", min_p: "0", repeat_penalty: "1",
  seed: "", stop_strings: "", fixed: true,
};
const names = Object.keys(defaults);

function readControl(name) {
  return name === "fixed" ? $(name).checked : $(name).value;
}

function showSettings(values) {
  for (const name of names) {
    if (name === "fixed") $(name).checked = values[name] === true;
    else $(name).value = String(values[name]);
  }
  for (const slider of document.querySelectorAll(".slider")) slider.value = $(slider.dataset.for).value;
  document.documentElement.classList.toggle("fixed", $("fixed").checked);
}

function saveSettings() {
  const values = {};
  for (const name of names) values[name] = readControl(name);
  store.set("hoist.settings", JSON.stringify(values));
}

function loadSettings() {
  let saved = {};
  try { saved = JSON.parse(store.get("hoist.settings")) ?? {}; } catch { /* not ours: defaults */ }
  showSettings({ ...defaults, ...saved });
}

$("form").addEventListener("input", (event) => {
  const target = event.target;
  if (target.classList.contains("slider")) $(target.dataset.for).value = target.value;
  const slider = document.querySelector(`.slider[data-for="${target.id}"]`);
  if (slider) slider.value = target.value;
  target.removeAttribute("aria-invalid");
  document.documentElement.classList.toggle("fixed", $("fixed").checked);
  saveSettings();
});
$("form").addEventListener("submit", (event) => event.preventDefault());
$("reset").addEventListener("click", () => {
  showSettings(defaults);
  saveSettings();
  dispatchEvent(new CustomEvent("hoist-reset"));
});

// The settings as fields of a streaming request. Empty ones are left to the server, which checks every number and
// names what is wrong.
function samplingFields() {
  const body = { stream: true, stream_options: { include_usage: true, continuous_usage_stats: true } };
  for (const name of ["temperature", "max_tokens", "top_p", "top_k", "min_p", "repeat_penalty", "seed"]) {
    const input = $(name);
    if (input.validity.badInput) throw { message: `${name}: expected a number`, param: name };
    if (input.value !== "") body[name] = Number(input.value);
  }
  const stops = $("stop_strings").value.split("\n").filter((line) => line !== "");
  if (stops.length) {
    body.stop = stops.map((line) => line.replace(/\\([nrt\\])/g, (_, c) => ({ n: "\n", r: "\r", t: "\t" })[c] ?? c));
  }
  return body;
}

// Shows which setting the server refused.
function markField(problem) {
  const field = problem.param === "stop" ? "stop_strings" : problem.param;
  if (!names.includes(field)) return;
  $(field).setAttribute("aria-invalid", "true");
  $("settings").open = true;
}

function clearMarks() {
  for (const input of document.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

// ---- theme ----

const systemDark = matchMedia("(prefers-color-scheme: dark)");
function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemDark.matches;
}
function nameTheme() {
  $("theme").textContent = isDark() ? "Light theme" : "Dark theme";
}
$("theme").addEventListener("click", () => {
  const next = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  store.set("hoist.theme", next);
  nameTheme();
});
systemDark.addEventListener("change", nameTheme);

// ---- talking to the server ----

function count(number) {
  return `${number} ${number === 1 ? "token" : "tokens"}`;
}

// Calls `use` with the JSON of each event of a server-sent stream, until [DONE].
async function readEvents(response, use) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw { message: "The connection ended before the answer did." };
    waiting += value;
    for (let end; (end = waiting.indexOf("\n\n")) >= 0; waiting = waiting.slice(end + 2)) {
      const line = waiting.slice(0, end);
      if (line === "data: [DONE]") return;
      if (line.startsWith("data: ")) use(JSON.parse(line.slice(6)));
    }
  }
}

// A request whose answer streams; throws what the server said was wrong.
async function streamAnswer(path, body, signal, use) {
  const response = await fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal,
  });
  if (!response.ok) throw (await response.json()).error;
  await readEvents(response, use);
}

function asProblem(thrown) {
  return thrown instanceof TypeError ? { message: "The server cannot be reached." } : thrown;
}

// Tokens so far and their rate, beginning with the first: the prompt's reading does not count.
class Meter {
  constructor(counter, speed) {
    Object.assign(this, { counter, speed, first: 0, firstTokens: 0 });
    counter.textContent = speed.textContent = "";
  }
  show(tokens) {
    const now = performance.now();
    if (this.first === 0) Object.assign(this, { first: now, firstTokens: tokens });
    this.counter.textContent = count(tokens);
    if (tokens > this.firstTokens && now > this.first)
      this.speed.textContent = `${(1000 * (tokens - this.firstTokens) / (now - this.first)).toFixed(1)} tokens/s`;
  }
}

// ---- views ----

const views = ["chat", "text", "server"];
let modelId = "", modelChats = false;

function showView() {
  const wanted = location.hash.slice(1);
  const view = views.includes(wanted) ? wanted : modelChats ? "chat" : "text";
  document.documentElement.dataset.view = view;
  for (const name of views) {
    $(`view-${name}`).hidden = name !== view;
    const link = $(`to-${name}`);
    if (name === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  $("settings").hidden = view === "server";
  dispatchEvent(new CustomEvent("hoist-view", { detail: view }));
}
addEventListener("hashchange", showView);

async function showModel() {
  try {
    const response = await fetch("/v1/models");
    const model = (await response.json()).data[0];
    $("model").textContent = `${model.id} · ${model.max_model_len.toLocaleString("en")}-token context`;
    document.title = `${model.id} · Hoist`;
    modelId = model.id;
    modelChats = (model.capabilities ?? []).includes("chat");
    showView();
  } catch {
    $("model").textContent = "The server cannot be reached.";
  }
}

addEventListener("DOMContentLoaded", () => {
  loadSettings();
  nameTheme();
  if (matchMedia("(max-width: 56rem)").matches) $("settings").open = false;
  showView();
  showModel();
});
