// Markdown as models write it, made into elements. Text only ever becomes text nodes, so nothing in an answer can
// become markup or script; links go to the web alone. Half-written answers are fine: an open fence runs to the end.
"use strict";

const renderMarkdown = (() => {
  const maxDepth = 8;  // of quotes and lists within one another

  function element(name, children, attributes = {}) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  // The inline mark that begins first; each pattern can end in linear time.
  const marks = [
    { pattern: /(`+)([^`]|[^`][^]*?[^`])\1(?!`)/, make: (m) => element("code", [m[2].trim() || m[2]]) },
    { pattern: /\*\*(?=\S)([^*]+?)\*\*/, make: (m) => element("strong", inline(m[1])) },
    { pattern: /__(?=\S)([^_]+?)__/, make: (m) => element("strong", inline(m[1])) },
    { pattern: /\*(?=[^\s*])([^*\n]+)\*/, make: (m) => element("em", inline(m[1])) },
    { pattern: /(?<![A-Za-z0-9_])_(?=[^\s_])([^_\n]+)_(?![A-Za-z0-9_])/, make: (m) => element("em", inline(m[1])) },
    { pattern: /~~(?=\S)([^~]+)~~/, make: (m) => element("del", inline(m[1])) },
    { pattern: /\[([^\][\n]+)\]\((https?:\/\/[^\s()<>]+)\)/, make: (m) => link(m[2], inline(m[1])) },
    { pattern: /https?:\/\/[^\s<>()[\]"'`]+[^\s<>()[\]"'`.,;:!?]/, make: (m) => link(m[0], [m[0]]) },
    { pattern: /\\([\\`*_{}[\]()#+\-.!|~>])/, make: (m) => m[1] },
    { pattern: / {2,}\n/, make: () => element("br", []) },
  ];

  function link(to, children) {
    return element("a", children, { href: to, target: "_blank", rel: "noopener noreferrer nofollow" });
  }

  function inline(text) {
    const out = [];
    let rest = text;
    while (rest !== "") {
      let best = null, mark = null;
      for (const candidate of marks) {
        const match = candidate.pattern.exec(rest);
        if (match && (!best || match.index < best.index)) [best, mark] = [match, candidate];
      }
      if (!best) { out.push(rest); break; }
      if (best.index > 0) out.push(rest.slice(0, best.index));
      out.push(mark.make(best));
      rest = rest.slice(best.index + best[0].length);
    }
    return out;
  }

  function codeBlock(language, lines) {
    const code = element("code", [lines.join("\n")]);
    const copy = element("button", ["Copy"], { type: "button", class: "copy" });
    const bar = element("div", [element("span", [language || "code"]), copy], { class: "code-bar" });
    return element("div", [bar, element("pre", [code], { tabindex: "0" })], { class: "code" });
  }

  const splitRow = (line) => line.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "").split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));

  function table(lines) {
    const alignments = splitRow(lines[1]).map((rule) =>
      rule.endsWith(":") ? (rule.startsWith(":") ? "center" : "right") : "left");
    const row = (line, name) => element("tr", splitRow(line).slice(0, alignments.length).map((cell, i) =>
      element(name, inline(cell), { class: `to-${alignments[i]}` })));
    return element("div", [element("table", [
      element("thead", [row(lines[0], "th")]), element("tbody", lines.slice(2).map((line) => row(line, "td")))])],
    { class: "table", tabindex: "0" });
  }

  const isBlank = (line) => line.trim() === "";
  const fence = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
  const item = /^( *)([-*+]|\d{1,9}[.)])( +|$)/;
  const rule = /^ {0,3}([-*_])( *\1){2,} *$/;
  const tableRule = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

  function list(lines, at, depth) {
    const first = item.exec(lines[at]), ordered = /\d/.test(first[2]), items = [];
    let i = at;
    while (i < lines.length) {
      const head = item.exec(lines[i]);
      if (!head || head[1].length > first[1].length + 1 || /\d/.test(head[2]) !== ordered || rule.test(lines[i])) break;
      const indent = head[0].length, own = [lines[i].slice(indent)];
      for (i += 1; i < lines.length; i += 1) {
        const line = lines[i];
        if (isBlank(line)) {
          if (i + 1 >= lines.length || !/^ {2,}\S/.test(lines[i + 1])) break;
          own.push("");
        } else if (line.startsWith(" ".repeat(Math.min(indent, first[1].length + 2)))) {
          own.push(line.replace(new RegExp(`^ {1,${indent}}`), ""));
        } else if (item.test(line) || isBlank(lines[i - 1])) {
          break;
        } else {
          own.push(line);
        }
      }
      items.push(own);
      while (i + 1 < lines.length && isBlank(lines[i]) && item.test(lines[i + 1])) i += 1;
    }
    const attributes = ordered ? { start: parseInt(first[2], 10) } : {};
    const tight = items.every((own) => !own.some(isBlank));
    const node = element(ordered ? "ol" : "ul", items.map((own) => {
      const children = blocks(own, depth + 1);
      const lone = tight && children[0]?.tagName === "P" ? [...children[0].childNodes, ...children.slice(1)] : children;
      return element("li", lone);
    }), attributes);
    return [node, i];
  }

  function blocks(lines, depth) {
    const out = [];
    let paragraph = [];
    const end = () => {
      if (paragraph.length) out.push(element("p", inline(paragraph.join("\n"))));
      paragraph = [];
    };
    for (let i = 0; i < lines.length;) {
      const line = lines[i], open = fence.exec(line), heading = /^ {0,3}(#{1,6}) +(.*?)#* *$/.exec(line);
      if (open) {
        end();
        const body = [];
        for (i += 1; i < lines.length && !lines[i].trim().startsWith(open[1]); i += 1) body.push(lines[i]);
        out.push(codeBlock(open[2], body));
        i += 1;
      } else if (isBlank(line)) {
        end();
        i += 1;
      } else if (heading) {
        end();
        out.push(element(`h${Math.min(6, heading[1].length + 2)}`, inline(heading[2])));
        i += 1;
      } else if (rule.test(line)) {
        end();
        out.push(element("hr", []));
        i += 1;
      } else if (/^ {0,3}>/.test(line) && depth < maxDepth) {
        end();
        const quoted = [];
        for (; i < lines.length && /^ {0,3}>/.test(lines[i]); i += 1) quoted.push(lines[i].replace(/^ {0,3}> ?/, ""));
        out.push(element("blockquote", blocks(quoted, depth + 1)));
      } else if (item.test(line) && depth < maxDepth) {
        end();
        const [node, next] = list(lines, i, depth);
        out.push(node);
        i = next;
      } else if (line.includes("|") && i + 1 < lines.length && lines[i + 1].includes("-") && tableRule.test(lines[i + 1])) {
        end();
        const rows = [];
        for (; i < lines.length && lines[i].includes("|"); i += 1) rows.push(lines[i]);
        out.push(table(rows));
      } else {
        paragraph.push(line);
        i += 1;
      }
    }
    end();
    return out;
  }

  return (text) => blocks(text.replaceAll("\r\n", "\n").split("\n"), 0);
})();

document.addEventListener("click", async (event) => {
  if (!event.target.classList.contains("copy")) return;
  const code = event.target.closest(".code").querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(code);
    event.target.textContent = "Copied";
  } catch {
    event.target.textContent = "Cannot copy";
  }
  setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
});
