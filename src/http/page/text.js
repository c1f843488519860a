// The text view: one text, of which the last completion is shown in its own colour.
"use strict";

const text = $("text"), paper = $("paper"), error = $("error"), status = $("status");

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
  markField(problem);
}

function clearError() {
  error.hidden = true;
  clearMarks();
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

async function generate() {
  if (running) return;
  clearError();
  let body;
  try { body = { prompt: text.value, ...samplingFields() }; } catch (problem) { showError(problem); return; }
  shown = { start: text.value.length, end: text.value.length };
  setRunning(new AbortController());
  paper.scrollTop = paper.scrollHeight;
  status.textContent = "Reading the prompt…";
  const meter = new Meter($("count"), $("speed"));

  let tokens = 0, reason = "";
  const take = (event) => {
    if (event.error) throw event.error;
    if (event.usage) tokens = event.usage.completion_tokens;
    const choice = event.choices[0];
    if (!choice) return;
    status.textContent = "Writing…";
    if (choice.text) append(choice.text);
    meter.show(tokens);
    if (choice.finish_reason) reason = choice.finish_reason;
  };
  try {
    await streamAnswer("/v1/completions", body, running.signal, take);
    status.textContent = reason === "length" ? "Done: reached the token limit." : "Done: the text came to its end.";
  } catch (problem) {
    if (problem.name === "AbortError") {
      status.textContent = "Stopped.";
    } else {
      status.textContent = "";
      showError(asProblem(problem));
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
  if (document.documentElement.dataset.view !== "text") return;
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    generate();
  } else if (event.key === "Escape") {
    stop();
  }
});
addEventListener("hoist-reset", clearError);
draw();
