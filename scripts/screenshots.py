#!/usr/bin/env python3
"""Writes docs/images/page-*.png, the page while text streams, and report-*.png, a training report; wide and narrow,
light and dark.

Usage: scripts/screenshots.py HOIST_BINARY MODEL_FOLDER [--prompt TEXT] [--tokens N] [--report REPORT_HTML] [--out FOLDER]
       scripts/screenshots.py --report REPORT_HTML

Needs chromium and chromedriver. Each picture of the page is taken in the middle of a generation; so that a small model
is not done before the browser has drawn, the server is held back by stopping and continuing its process. A report is
shown with values under the pointer.
"""

import argparse
import contextlib
import os
import pathlib
import signal
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "python"))

import browser  # noqa: E402
import server_process  # noqa: E402

SIZES = {"wide": (1280, 800), "narrow": (360, 740)}


def picture(page, url, size, scheme, options):
    page.size(*SIZES[size], scale=2 if size == "narrow" else 1)
    page.scheme(scheme)
    page.open(url)
    page.script("localStorage.clear()")
    page.open(url)
    page.wait("return document.getElementById('model').textContent.includes('-token context')", "the model's name")
    page.script("""
      const set = (id, value) => {
        const element = document.getElementById(id);
        element.value = value;
        element.dispatchEvent(new Event("input", {bubbles: true}));
      };
      set("max_tokens", arguments[0]);
      set("seed", "1");
      set("text", arguments[1]);
      document.getElementById("generate").click();""", str(options.tokens), options.prompt)
    page.wait(f"return document.getElementById('completion').textContent.length > {2 * options.tokens}"
              " || (document.getElementById('stop').hidden && document.getElementById('count').textContent)", "some text")
    path = options.out / f"page-{size}-{scheme}.png"
    page.screenshot(path)
    print(path)
    page.press("escape")


def report_picture(page, report, size, scheme, options):
    page.size(*SIZES[size], scale=2 if size == "narrow" else 1)
    page.scheme(scheme)
    page.open(report.resolve().as_uri())
    page.script("const x = charts[0].series[0].x; showAll(x[Math.floor(x.length * 0.4)])")
    path = options.out / f"report-{size}-{scheme}.png"
    page.screenshot(path)
    print(path)


@contextlib.contextmanager
def slowed(pid, share=0.04):
    """Lets a process run for a small share of the time."""
    done = threading.Event()

    def hold():
        while not done.is_set():
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.002 / share)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.002)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def children():
    """Processes that this one started."""
    return [int(p) for p in pathlib.Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()]


def every_look():
    return [(size, scheme) for size in SIZES for scheme in ("light", "dark")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", nargs="?")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "docs" / "images")
    parser.add_argument("--prompt", default="Once upon a time")
    parser.add_argument("--tokens", type=int, default=160)
    options = parser.parse_args()
    if (options.binary is None) != (options.model is None) or (options.binary is None and options.report is None):
        parser.error("expected HOIST_BINARY and MODEL_FOLDER, or --report, or both")
    options.out.mkdir(parents=True, exist_ok=True)
    with browser.browser() as page:
        if options.report is not None:
            for look in every_look():
                report_picture(page, options.report, *look, options)
        if options.binary is not None:
            before = set(children())
            with server_process.serving(options.binary, options.model) as url:
                server = next(pid for pid in children() if pid not in before)
                with slowed(server):
                    for look in every_look():
                        picture(page, url, *look, options)


if __name__ == "__main__":
    main()
