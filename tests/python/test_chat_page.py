#!/usr/bin/env python3
"""The page's chat and server views in a real browser, against a model with a chat template.

Usage: test_chat_page.py HOIST_BINARY MODEL_FOLDER [SCREENSHOT_FOLDER]      (exit 77 when there is no chromedriver)
"""

import contextlib
import pathlib
import shutil
import sys
import tempfile

import browser
import server_process
from page_checks import LABELS, check, check_contrast, failures

TEMPLATE = """{{ bos_token }}{% for m in messages %}{{ m.content }}
{% endfor %}"""

# What models write, and what they must not be able to do with it.
MARKDOWN = """## Title
Some **bold**, *em*, `co<de>` and a [link](https://example.org/a_b) <img src=x onerror=alert(1)>

- one
  1. two
- three

| a | b |
|---|--:|
| 1 | `2` |

> quoted

```python
x = "<script>alert(1)</script>"
```
[bad](javascript:alert(1)) [worse](data:text/html,x)"""


@contextlib.contextmanager
def with_template(folder):
    with tempfile.TemporaryDirectory() as copy:
        for file in pathlib.Path(folder).resolve().iterdir():
            (pathlib.Path(copy) / file.name).symlink_to(file)
        (pathlib.Path(copy) / "chat_template.jinja").write_text(TEMPLATE)
        yield copy


def status(page):
    return page.text("#chat-status")


def done(page):
    page.wait("return document.getElementById('chat-stop').hidden", "the end of the answer")


def answers(page):
    return page.script("return [...document.querySelectorAll('.message.assistant .body')].map((e) => e.textContent)")


def set_tokens(page, count):
    page.clear("#max_tokens")
    page.type("#max_tokens", str(count))


def check_talk(page):
    page.wait("return document.documentElement.dataset.view === 'chat'", "the chat view, which a chat model opens with")
    set_tokens(page, 400)
    page.script("""
      window.lengths = [];
      new MutationObserver(() => window.lengths.push(document.querySelector(".message.assistant .body")?.textContent.length
        ?? 0)).observe(document.getElementById("chat-log"), { subtree: true, childList: true, characterData: true });""")
    page.type("#chat-entry", "Once upon a time")
    page.press("enter")
    done(page)
    first = answers(page)
    check(len(first) == 1 and first[0], "an answer came")
    grown = sorted(set(page.script("return window.lengths")))
    check(len(grown) >= 3, f"it grew piece by piece ({len(grown)} lengths seen)")
    check("Done" in status(page) and "tokens/s" in page.text("#chat-speed"), "its end and its speed are shown")
    set_tokens(page, 20)  # the conversation is to fit the context
    page.click("#chat-again")
    done(page)
    check(len(answers(page)) == 1 and answers(page) != first, "Regenerate answers anew")
    page.type("#chat-entry", "And then?")
    page.click("#chat-send")
    done(page)
    check(len(answers(page)) == 2, "the conversation goes on")


def check_stop(page):
    set_tokens(page, 450)
    page.type("#chat-entry", "A long story")
    page.press("enter")
    page.press("escape")
    done(page)
    check(status(page) in ("Stopped.", "Done.", "Done: reached the token limit."), f"Esc stops: {status(page)}")


def check_history(page, url):
    before = answers(page)
    page.open(url + "/")
    page.wait("return document.querySelectorAll('.message').length > 0", "the conversation after a reload")
    check(answers(page) == before, "conversations survive a reload")
    page.click("#chat-new")
    check(answers(page) == [] and not page.script("return document.getElementById('chat-empty').hidden"),
          "a new chat is empty")
    page.script("document.querySelector('.system').open = true")
    page.type("#chat-system", "Speak like a pirate.")
    set_tokens(page, 8)
    page.script("""
      const ask = window.fetch;
      window.fetch = (path, options) => {
        if (options?.body) window.sent = JSON.parse(options.body);
        return ask(path, options);
      };""")
    page.type("#chat-entry", "Hello")
    page.press("enter")
    done(page)
    sent = page.script("return window.sent.messages")
    check(sent == [{"role": "system", "content": "Speak like a pirate."}, {"role": "user", "content": "Hello"}],
          f"the system prompt is sent {sent}")
    check(page.script("return document.querySelectorAll('#chat-list li').length") == 2, "both conversations are listed")
    page.click("#chat-list li:nth-child(1) .drop")
    check(page.script("return document.querySelectorAll('#chat-list li').length") == 1, "one is deleted")


def check_error(page):
    page.clear("#temperature")
    page.type("#temperature", "-1")
    page.click("#chat-new")
    page.type("#chat-entry", "Hello")
    page.press("enter")
    page.wait("return !document.getElementById('chat-error').hidden", "the error")
    check("temperature" in page.text("#chat-error"), "the server's error is shown")
    check(page.script("return document.getElementById('temperature').getAttribute('aria-invalid')") == "true",
          "the field to blame is marked")
    page.clear("#temperature")
    page.type("#temperature", "0.8")


def check_markdown(page):
    got = page.script("""
      const box = document.createElement("div");
      chat.fill(box, { role: "assistant", content: arguments[0], reasoning: "Because." });
      document.getElementById("chat-log").append(box);
      box.className = "body";
      return {html: box.innerHTML, links: [...box.querySelectorAll("a")].map((a) => a.href),
        tags: [...new Set([...box.querySelectorAll("*")].map((e) => e.tagName.toLowerCase()))]};""", MARKDOWN)
    wanted = {"strong", "em", "code", "a", "ul", "ol", "table", "blockquote", "pre", "h4", "details"}
    check(wanted <= set(got["tags"]), f"Markdown becomes elements; missing: {wanted - set(got['tags'])}")
    check(not {"img", "script", "iframe"} & set(got["tags"]), "no markup of an answer becomes an element")
    check(got["links"] == ["https://example.org/a_b"], f"links go to the web alone {got['links']}")


def check_server(page, url):
    page.open(url + "/#server")
    page.wait("return document.getElementById('server-token-total').textContent !== '–'", "figures")
    before = int(page.text("#server-token-total").replace(",", ""))
    check(before > 0, "tokens are counted")
    page.script("""
      for (let i = 0; i < 4; i += 1)
        fetch("/v1/completions", { method: "POST", headers: { "Content-Type": "application/json" },
          body: JSON.stringify({ prompt: "Once", max_tokens: 300, ignore_eos: true }) });""")
    page.wait(f"return Number(document.getElementById('server-token-total').textContent.replace(',', '')) > {before + 1000}",
              "the figures to move")
    check(page.text("#server-e2e-50") != "–", "latencies are shown")
    page.wait("return document.getElementById('curve-tokens').getAttribute('d') !== ''", "a curve")


def check_views(page, screenshots):
    for name in ("chat", "server"):
        page.script(f"location.hash = '#{name}'")
        check(page.script(LABELS) == [], f"{name}: every control has a label")
        for width, height in ((1280, 860), (360, 740)):
            page.size(width, height)
            over = page.script("const r = document.scrollingElement; return r.scrollWidth - r.clientWidth")
            check(over <= 0, f"{name}: no sideways scroll at {width} px ({over})")
            for scheme in ("light", "dark"):
                page.scheme(scheme)
                check_contrast(page, f"{name} {scheme}, {width} px")
                if screenshots:
                    page.screenshot(pathlib.Path(screenshots) / f"{name}-{scheme}-{width}.png")
    page.scheme("light")


def main():
    if not shutil.which("chromedriver"):
        print("chromedriver is not installed, skipped")
        return 77
    model = sys.argv[2] if len(sys.argv) > 2 else None
    if server_process.missing(model):
        return 77
    with with_template(model) as folder, server_process.serving(sys.argv[1], folder) as url:
        with browser.browser() as page:
            page.size(1280, 860)
            page.scheme("light")
            page.open(url + "/")
            check_talk(page)
            check_stop(page)
            check_history(page, url)
            check(page.console_errors() == [], "no console error")
            check_error(page)
            check_markdown(page)
            check_server(page, url)
            check_views(page, sys.argv[3] if len(sys.argv) > 3 else None)
    if failures:
        print(f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
