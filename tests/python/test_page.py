#!/usr/bin/env python3
"""The web page in a real browser: it streams, stops, shows errors, fits a phone and can be read in both themes.

Usage: test_page.py HOIST_BINARY MODEL_FOLDER      (exit 77 when there is no chromedriver)
"""

import shutil
import sys

import browser
import server_process
from page_checks import LABELS, check, check_contrast, failures

PROMPT = "Once upon a time"


def idle(page):
    page.wait("return document.getElementById('stop').hidden", "the end of the generation")


def set_number(page, selector, value):
    page.clear(selector)
    page.type(selector, value)


def check_streaming(page):
    page.wait("return document.getElementById('model').textContent.includes('-token context')", "the model's name")
    page.script("""
      window.lengths = [];
      const append = window.append;
      window.append = (piece) => {
        append(piece);
        window.lengths.push(document.getElementById("completion").textContent.length);
      };""")
    set_number(page, "#max_tokens", "40")
    page.type("#text", PROMPT)
    page.press("control", "enter")
    page.wait("return document.getElementById('completion').textContent.length > 0", "the first text")
    idle(page)
    lengths = sorted(set(page.script("return window.lengths")))
    check(len(lengths) >= 4, f"the completion grew piece by piece ({len(lengths)} lengths seen)")
    value = page.script("return document.getElementById('text').value")
    check(value.startswith(PROMPT) and value == PROMPT + page.text("#completion"),
          "prompt and completion together are the text of the field")
    check(page.text("#count").split()[0].isdigit() and "tokens/s" in page.text("#speed"), "tokens and tokens/s are shown")
    check("Done" in page.text("#status"), "the end is announced")
    colors = page.script("""return ["before", "completion"].map(
      (id) => getComputedStyle(document.getElementById(id)).color)""")
    check(colors[0] != colors[1], "the completion has a colour of its own")
    page.click("#retry")
    idle(page)
    check(page.text("#before") == PROMPT, "Retry starts from the same prompt")


def check_layers(page):
    """What is typed into the field must lie exactly over what its mirror shows."""
    samples = ["a", "a\n", "\n\n", "word " * 300, "x" * 700, "\tif (a) {\n\t\treturn 'ä日本語🙂';\n\t}\n\n\n", "a   " * 90]
    heights = page.script("""
      const text = document.getElementById("text"), mirror = document.getElementById("mirror"), paper =
        document.getElementById("paper"), before = text.value, height = paper.style.height;
      paper.style.cssText = "height: auto; min-height: 0; align-items: start";
      const result = arguments[0].map((sample) => {
        text.value = sample;
        text.dispatchEvent(new Event("input"));
        text.style.height = "0";
        const pair = [text.scrollHeight, mirror.scrollHeight];
        text.style.height = "";
        return pair;
      });
      paper.style.cssText = "";
      text.value = before;
      text.dispatchEvent(new Event("input"));
      return result;""", samples)
    check(all(abs(a - b) <= 1 for a, b in heights), f"the field and its mirror break lines alike {heights}")


def check_editing(page):
    """The coloured range follows the completion while the text around it is edited."""
    got = page.script("""
      const text = document.getElementById("text"), completion = document.getElementById("completion");
      const whole = completion.textContent, before = text.value;
      const edit = (value) => {
        text.value = value;
        text.dispatchEvent(new Event("input"));
        return completion.textContent;
      };
      const results = [edit("Well. " + text.value) === whole, edit(text.value + " And") === whole];
      const middle = text.value.indexOf(whole) + 3;
      results.push(edit(text.value.slice(0, middle) + "XY" + text.value.slice(middle)).length === whole.length + 2);
      results.push(edit("") === "");
      edit(before);
      return results;""")
    check(all(got), f"edits keep the colour on the completion {got}")


def check_stop(page):
    set_number(page, "#max_tokens", "400")
    page.click("#generate")
    page.press("escape")
    idle(page)
    check(page.text("#status") in ("Stopped.", "Done: reached the token limit.", "Done: the text came to its end."),
          "Esc ends the generation")


def check_error(page):
    check(page.console_errors() == [], "no console error")
    set_number(page, "#temperature", "-1")
    page.click("#generate")
    page.wait("return !document.getElementById('error').hidden", "the error")
    check("temperature" in page.text("#error"), "the server's error is shown")
    check(page.script("return document.getElementById('temperature').getAttribute('aria-invalid')") == "true",
          "the field to blame is marked")
    others = [e for e in page.console_errors() if "400" not in e]
    check(others == [], f"no console error but the answer 400 {others}")


def check_width(page, width):
    over = page.script("""
      const root = document.scrollingElement;
      return {page: root.scrollWidth - root.clientWidth, paper: document.getElementById("paper").scrollWidth
        - document.getElementById("paper").clientWidth, width: innerWidth};""")
    check(over["page"] <= 0 and over["paper"] <= 0 and over["width"] == width, f"no sideways scroll at {width} px {over}")


def check_page(page, url):
    page.size(1280, 800)
    page.scheme("light")
    page.open(url)
    check_streaming(page)
    check_editing(page)
    check_stop(page)
    check_error(page)
    check(page.script(LABELS) == [], "every control has a label")
    for width, height in ((1280, 800), (768, 1024), (360, 740)):
        page.size(width, height)
        page.script("document.getElementById('settings').open = true")
        check_width(page, width)
        check_layers(page)
        for scheme in ("light", "dark"):
            page.scheme(scheme)
            check_contrast(page, f"{scheme}, {width} px")
    page.click("#theme")
    check(page.script("return document.documentElement.dataset.theme") == "light", "the toggle overrides the system")
    check_contrast(page, "light by toggle")
    page.open(url)
    check(page.script("return document.getElementById('temperature').value") == "-1", "settings survive a reload")
    check(page.script("return document.documentElement.dataset.theme") == "light", "the theme survives a reload")


def main():
    if not shutil.which("chromedriver"):
        print("chromedriver is not installed, skipped")
        return 77
    model = sys.argv[2] if len(sys.argv) > 2 else None
    if server_process.missing(model):
        return 77
    with server_process.serving(sys.argv[1], model) as url:
        with browser.browser() as page:
            check_page(page, url)
    if failures:
        print(f"{len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
