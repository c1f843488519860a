// The chat view: conversations, kept in this browser alone.
"use strict";

const chat = (() => {
  const log = $("chat-log"), entry = $("chat-entry"), list = $("chat-list"), system = $("chat-system");
  const problemBox = $("chat-error"), note = $("chat-status");
  const maxChats = 200;
  let chats = [], current = null, running = null;

  // ---- conversations ----

  function fresh() {
    return { id: crypto.randomUUID?.() ?? String(Date.now() + Math.random()), title: "", system: "", messages: [] };
  }

  function wellFormed(c) {
    return c && typeof c.id === "string" && typeof c.title === "string" && typeof c.system === "string" &&
      Array.isArray(c.messages) && c.messages.every((m) =>
        (m.role === "user" || m.role === "assistant") && typeof m.content === "string");
  }

  function load() {
    try { chats = JSON.parse(store.get("hoist.chats")).filter(wellFormed); } catch { chats = []; }
    current = chats[0] ?? fresh();
  }

  // Newest first; one without messages is not kept. When the browser has no more room, the oldest go.
  function save() {
    chats = chats.filter((c) => c !== current);
    if (current.messages.length) chats.unshift(current);
    chats.length = Math.min(chats.length, maxChats);
    for (let kept = chats.length; kept >= 0; kept -= 1) {
      try { localStorage.setItem("hoist.chats", JSON.stringify(chats.slice(0, kept))); break; } catch { /* one fewer */ }
    }
  }

  function open(conversation) {
    if (running) return;
    save();
    current = conversation;
    clearProblem();
    note.textContent = "";
    $("chat-count").textContent = $("chat-speed").textContent = "";
    show();
  }

  function showList() {
    list.replaceChildren(...chats.map((c) => {
      const item = document.createElement("li");
      const pick = document.createElement("button");
      pick.type = "button";
      pick.className = "quiet pick";
      pick.textContent = c.title || "Untitled";
      pick.disabled = running !== null;
      if (c === current) pick.setAttribute("aria-current", "true");
      pick.addEventListener("click", () => open(c));
      const drop = document.createElement("button");
      drop.type = "button";
      drop.className = "quiet drop";
      drop.textContent = "×";
      drop.setAttribute("aria-label", `Delete ${c.title || "this conversation"}`);
      drop.disabled = running !== null;
      drop.addEventListener("click", () => {
        chats = chats.filter((other) => other !== c);
        if (c === current) current = fresh();
        save();
        show();
      });
      item.append(pick, drop);
      return item;
    }));
  }

  // ---- messages ----

  function body(message) {
    const box = document.createElement("div");
    box.className = "body";
    fill(box, message);
    return box;
  }

  function fill(box, message) {
    if (message.role === "user") { box.textContent = message.content; return; }
    const parts = renderMarkdown(message.content);
    if (message.reasoning) {
      const details = document.createElement("details"), summary = document.createElement("summary");
      const text = document.createElement("div");
      summary.textContent = "Reasoning";
      text.className = "reasoning";
      text.textContent = message.reasoning;
      details.open = box.querySelector("details")?.open ?? false;
      details.append(summary, text);
      parts.unshift(details);
    }
    box.replaceChildren(...parts);
  }

  function card(message) {
    const article = document.createElement("article"), who = document.createElement("h3");
    article.className = `message ${message.role}`;
    who.textContent = message.role === "user" ? "You" : modelId || "Model";
    article.append(who, body(message));
    return article;
  }

  function show() {
    log.replaceChildren(...current.messages.map(card));
    system.value = current.system;
    showList();
    showButtons();
    log.scrollTop = log.scrollHeight;
  }

  function showButtons() {
    $("chat-send").hidden = running !== null;
    $("chat-stop").hidden = running === null;
    $("chat-again").disabled = running !== null || !current.messages.some((m) => m.role === "assistant");
    $("chat-new").disabled = running !== null;
    $("chat-empty").hidden = current.messages.length > 0;
  }

  function showProblem(problem) {
    problemBox.textContent = problem.message.replace(/^request body: /, "");
    problemBox.hidden = false;
    markField(problem);
  }

  function clearProblem() {
    problemBox.hidden = true;
    clearMarks();
  }

  // ---- answering ----

  function setRunning(controller) {
    running = controller;
    showButtons();
    showList();
  }

  async function answer() {
    clearProblem();
    let fields;
    try { fields = samplingFields(); } catch (problem) { showProblem(problem); return; }
    const messages = current.messages.map(({ role, content }) => ({ role, content }));
    if (current.system.trim()) messages.unshift({ role: "system", content: current.system });
    const message = { role: "assistant", content: "", reasoning: "" };
    current.messages.push(message);
    const element = card(message), box = element.querySelector(".body");
    log.append(element);
    element.setAttribute("aria-busy", "true");
    log.scrollTop = log.scrollHeight;
    setRunning(new AbortController());
    note.textContent = "Reading the conversation…";
    const meter = new Meter($("chat-count"), $("chat-speed"));
    let tokens = 0, reason = "", waiting = false;
    // At most once a frame: long answers are made anew whole.
    const redraw = () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        const following = log.scrollHeight - log.scrollTop - log.clientHeight < 64;
        fill(box, message);
        if (following) log.scrollTop = log.scrollHeight;
      });
    };
    const take = (event) => {
      if (event.error) throw event.error;
      if (event.usage) tokens = event.usage.completion_tokens;
      const choice = event.choices[0];
      if (!choice) return;
      const { content, reasoning_content: reasoning } = choice.delta ?? {};
      if (content) message.content += content;
      if (reasoning) message.reasoning += reasoning;
      if (content || reasoning) {
        note.textContent = "Writing…";
        redraw();
      }
      if (tokens > 0) meter.show(tokens);
      if (choice.finish_reason) reason = choice.finish_reason;
    };
    try {
      await streamAnswer("/v1/chat/completions", { messages, ...fields }, running.signal, take);
      note.textContent = reason === "length" ? "Done: reached the token limit." : "Done.";
    } catch (problem) {
      if (problem.name === "AbortError") {
        note.textContent = "Stopped.";
      } else {
        note.textContent = "";
        showProblem(asProblem(problem));
      }
      if (!message.content && !message.reasoning) current.messages.pop();
    } finally {
      fill(box, message);
      element.removeAttribute("aria-busy");
      if (!current.messages.includes(message)) element.remove();
      save();
      setRunning(null);
    }
  }

  function send() {
    const content = entry.value.trim();
    if (running || !content) return;
    current.messages.push({ role: "user", content });
    current.title ||= content.replace(/\s+/g, " ").slice(0, 60);
    entry.value = "";
    grow();
    log.append(card(current.messages.at(-1)));
    save();
    answer();
  }

  function again() {
    if (running) return;
    while (current.messages.at(-1)?.role === "assistant") current.messages.pop();
    show();
    answer();
  }

  function stop() {
    if (running) running.abort();
  }

  function grow() {
    entry.style.height = "auto";
    entry.style.height = `${Math.min(entry.scrollHeight + 2, 240)}px`;
  }

  entry.addEventListener("input", grow);
  entry.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.documentElement.dataset.view === "chat") stop();
  });
  system.addEventListener("input", () => {
    current.system = system.value;
    if (current.messages.length) save();
  });
  $("chat-send").addEventListener("click", send);
  $("chat-stop").addEventListener("click", stop);
  $("chat-again").addEventListener("click", again);
  $("chat-new").addEventListener("click", () => { open(fresh()); entry.focus(); });
  addEventListener("hoist-reset", clearProblem);
  load();
  show();
  return { fill };
})();
