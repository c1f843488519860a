"""Drives headless Chromium through chromedriver by the W3C WebDriver protocol; standard library only."""

import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
KEYS = {"control": "\ue009", "enter": "\ue007", "escape": "\ue00c"}


class Browser:
    def __init__(self, base):
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                            "--force-color-profile=srgb", "--hide-scrollbars"]}
        binary = shutil.which("chromium") or shutil.which("chromium-browser")
        if binary:
            options["binary"] = binary
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        self._base = base
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._base = f"{base}/session/{answer['sessionId']}"

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.read().decode(errors='replace')[:600]}") from None

    def close(self):
        self._call("DELETE", "")

    def open(self, url):
        self._call("POST", "/url", {"url": url})

    def script(self, source, *arguments):
        """Runs a function body; `return` gives the value."""
        return self._call("POST", "/execute/sync", {"script": source, "args": list(arguments)})

    def element(self, selector):
        return self._call("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self._call("POST", f"/element/{self.element(selector)}/click", {})

    def clear(self, selector):
        self._call("POST", f"/element/{self.element(selector)}/clear", {})

    def type(self, selector, text):
        self._call("POST", f"/element/{self.element(selector)}/value", {"text": text})

    def press(self, *keys):
        codes = [KEYS[key] for key in keys]
        actions = [{"type": "keyDown", "value": code} for code in codes]
        actions += [{"type": "keyUp", "value": code} for code in reversed(codes)]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def text(self, selector):
        return self.script("return document.querySelector(arguments[0]).textContent", selector)

    def wait(self, condition, what, seconds=60):
        """Polls a function body until it returns something true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = self.script(condition)
            if value:
                return value
            time.sleep(0.05)
        raise RuntimeError(f"waited {seconds} s in vain for: {what}")

    def cdp(self, command, **parameters):
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width, height, scale=1):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale,
                 mobile=width < 600)

    def scheme(self, name):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def console_errors(self):
        """Everything the console reported as an error since the last call."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] in ("SEVERE", "WARNING")]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._call("GET", "/screenshot")))


@contextlib.contextmanager
def browser():
    driver = shutil.which("chromedriver")
    if not driver:
        raise FileNotFoundError("chromedriver")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        port = None
        for line in process.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                port = found.group(1)
                break
        if port is None:
            raise RuntimeError("chromedriver did not start")
        page = Browser(f"http://127.0.0.1:{port}")
        try:
            yield page
        finally:
            page.close()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
