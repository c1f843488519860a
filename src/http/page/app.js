// The page of `hoist serve`: one text, of which the last completion is shown in its own colour.
"use strict";

const $ = (id) => document.getElementById(id);
const text = $("text"), paper = $("paper"), error = $("error"), status = $("status");

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
  clearError();
});

// The body of the request. Empty fields are left to the server, which checks every number and names what is wrong.
function requestBody(prompt) {
  const body = {
    prompt, stream: true, stream_options: { include_usage: true, continuous_usage_stats: true },
  };
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

// ---- the text and its last completion ----

let shown = { start: 0, end: 0 };  // the completion, as offsets into text.value
let previous = "";

function draw() {
  const value = text.value;
  $("before").textContent = value.slice(0, shown.start);
  $("completion").textContent = value.slice(shown.start, shown.end);
  $("after").textContent = value.slice(shown.end) + "\n";  // keeps a last empty line as high as the textarea's
  previous = value;
  $("retry").disabled = running !== null || shown.end === shown.start || shown.end !== value.length;
}

// Keeps the coloured range on its text while the user edits around or inside it.
text.addEventListener("input", () => {
  const now = text.value, grown = now.length - previous.length;
  const most = Math.min(now.length, previous.length);
  let head = 0;
  while (head < most && now[head] === previous[head]) head += 1;
  let tail = 0;
  while (tail < most - head && now[now.length - 1 - tail] === previous[previous.length - 1 - tail]) tail += 1;
  const editEnd = previous.length - tail;
  if (editEnd <= shown.start) shown = { start: shown.start + grown, end: shown.end + grown };
  else if (head >= shown.start && editEnd <= shown.end && head < shown.end) shown.end += grown;
  else if (head < shown.end) shown = { start: 0, end: 0 };
  draw();
});

function append(piece) {
  const following = paper.scrollHeight - paper.scrollTop - paper.clientHeight < 48;
  text.value += piece;
  shown.end = text.value.length;
  draw();
  if (following) paper.scrollTop = paper.scrollHeight;
}

// ---- generating ----

let running = null;  // the AbortController of the request under way

function showError(problem) {
  error.textContent = problem.message.replace(/^request body: /, "");
  error.hidden = false;
  const field = problem.param === "stop" ? "stop_strings" : problem.param;
  if (names.includes(field)) {
    $(field).setAttribute("aria-invalid", "true");
    $("settings").open = true;
  }
}

function clearError() {
  error.hidden = true;
  for (const input of document.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

function setRunning(controller) {
  const hadFocus = [$("generate"), $("stop")].includes(document.activeElement);
  running = controller;
  $("generate").hidden = running !== null;
  $("stop").hidden = running === null;
  text.readOnly = running !== null;
  $("clear").disabled = running !== null;
  if (hadFocus) $(running ? "stop" : "generate").focus();
  draw();
}

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

async function generate() {
  if (running) return;
  clearError();
  let body;
  try { body = JSON.stringify(requestBody(text.value)); } catch (problem) { showError(problem); return; }
  shown = { start: text.value.length, end: text.value.length };
  setRunning(new AbortController());
  paper.scrollTop = paper.scrollHeight;
  status.textContent = "Reading the prompt…";
  $("count").textContent = "";
  $("speed").textContent = "";

  let tokens = 0, firstTokens = 0, firstTime = 0, reason = "";
  const take = (event) => {
    if (event.error) throw event.error;
    if (event.usage) tokens = event.usage.completion_tokens;
    const choice = event.choices[0];
    if (!choice) return;
    const now = performance.now();
    if (firstTime === 0) {
      firstTime = now;
      firstTokens = tokens;
      status.textContent = "Writing…";
    }
    if (choice.text) append(choice.text);
    $("count").textContent = count(tokens);
    if (tokens > firstTokens && now > firstTime)
      $("speed").textContent = `${(1000 * (tokens - firstTokens) / (now - firstTime)).toFixed(1)} tokens/s`;
    if (choice.finish_reason) reason = choice.finish_reason;
  };
  try {
    const response = await fetch("/v1/completions", {
      method: "POST", headers: { "Content-Type": "application/json" }, body, signal: running.signal,
    });
    if (!response.ok) throw (await response.json()).error;
    await readEvents(response, take);
    status.textContent = reason === "length" ? "Done: reached the token limit." : "Done: the text came to its end.";
  } catch (problem) {
    if (problem.name === "AbortError") {
      status.textContent = "Stopped.";
    } else {
      status.textContent = "";
      showError(problem instanceof TypeError ? { message: "The server cannot be reached." } : problem);
    }
  } finally {
    setRunning(null);
  }
}

function stop() {
  if (running) running.abort();
}

$("generate").addEventListener("click", generate);
$("stop").addEventListener("click", stop);
$("retry").addEventListener("click", () => {
  text.value = text.value.slice(0, shown.start);
  generate();
});
$("clear").addEventListener("click", () => {
  text.value = "";
  shown = { start: 0, end: 0 };
  for (const id of ["count", "speed", "status"]) $(id).textContent = "";
  clearError();
  draw();
  text.focus();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    generate();
  } else if (event.key === "Escape") {
    stop();
  }
});

async function showModel() {
  try {
    const response = await fetch("/v1/models");
    const model = (await response.json()).data[0];
    $("model").textContent = `${model.id} · ${model.max_model_len.toLocaleString("en")}-token context`;
    document.title = `${model.id} · Hoist`;
  } catch {
    $("model").textContent = "The server cannot be reached.";
  }
}

loadSettings();
nameTheme();
if (matchMedia("(max-width: 56rem)").matches) $("settings").open = false;
draw();
showModel();
