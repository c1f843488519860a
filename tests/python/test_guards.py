"""`hoist serve` as an operator meets it: keys, readiness, metrics, names, and SIGTERM with streams open.

usage: test_guards.py BINARY MODEL
"""

import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request

from server_process import free_port, missing, serving, wait_until_healthy


def ask(url, body=None, key=None):
    """(status, text)"""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = "Bearer " + key
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(text, name, label=""):
    for line in text.splitlines():
        if line.startswith(name + "{") and label in line:
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no {name} {label} in\n{text}")


def check_keys_and_metrics(binary, model):
    with tempfile.TemporaryDirectory() as folder:
        keys = pathlib.Path(folder) / "keys.toml"
        keys.write_text('sk-alice = "alice"\nsk-bob = "bob"\n')
        with serving(binary, model, "--api-keys-file", str(keys), "--log-format", "json") as url:
            for path in ["/", "/ready", "/metrics", "/v1/models", "/v1/completions", "/nowhere"]:
                assert ask(url + path)[0] == 401, path
                assert ask(url + path, key="sk-carol")[0] == 401, path
            assert ask(url + "/health")[0] == 200
            assert ask(url + "/ready", key="sk-alice")[0] == 200
            # The same prompt of another tenant is computed again.
            call = {"prompt": "Once upon a time there was a little girl named Lily. " * 4, "max_tokens": 4, "temperature": 0}
            texts, cached = [], []
            for key in ["sk-alice", "sk-alice", "sk-bob"]:
                status, text = ask(url + "/v1/completions", call, key)
                assert status == 200, text
                answer = json.loads(text)
                texts.append(answer["choices"][0]["text"])
                cached.append(answer["usage"]["prompt_tokens_details"]["cached_tokens"])
            assert texts[0] == texts[1] == texts[2]
            assert cached[0] == 0 and cached[1] > 0 and cached[2] == 0, cached
            status, text = ask(url + "/metrics", key="sk-bob")
            assert status == 200
            assert metric(text, "hoist:num_requests_running") == 0
            assert metric(text, "hoist:num_requests_waiting") == 0
            assert metric(text, "hoist:generation_tokens_total") == 12
            assert metric(text, "hoist:prefix_cache_hits_total") == cached[1]
            assert metric(text, "hoist:e2e_request_latency_seconds_count") == 3
            assert metric(text, "hoist:time_to_first_token_seconds_bucket", 'le="+Inf"') == 3
            assert metric(text, "hoist:request_success_total", "length") == 3
            assert metric(text, "hoist:steps_total") > 0
            assert 0 <= metric(text, "hoist:kv_cache_usage_perc") <= 1
            assert metric(text, "hoist:http_requests_total", '"401"') == 12


def check_bind(binary, model):
    for arguments in (["--host", "0.0.0.0"], ["--api-keys-file", "/nowhere"], ["--api-key", "a b"]):
        done = subprocess.run([binary, "serve", str(model), "--port", "0", *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0, arguments
        assert "a b" not in done.stderr and "--" in done.stderr or "nowhere" in done.stderr or "key" in done.stderr, done.stderr


def stream(port, tokens, into):
    """Reads one stream to its end; leaves the text of all of it."""
    body = json.dumps({"prompt": "Once", "max_tokens": tokens, "stream": True, "temperature": 0}).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
        s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                  b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        text = b""
        while chunk := s.recv(65536):
            text += chunk
            if b"data: " in text:
                into["started"].set()
    into["text"] = text.decode()


def check_sigterm(binary, model, drain_seconds, streams, tokens):
    port = free_port()
    process = subprocess.Popen([binary, "serve", str(model), "--port", str(port), "--drain-seconds", str(drain_seconds),
                                "--quiet", "--max-seqs", str(streams), "--context", "512"])
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", process, 60)
        seen = [{"started": threading.Event()} for _ in range(streams)]
        threads = [threading.Thread(target=stream, args=(port, tokens, s)) for s in seen]
        for thread in threads:
            thread.start()
        for s in seen:
            assert s["started"].wait(60)
        process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join(60)
        assert process.wait(timeout=drain_seconds + 30) == 0
        for s in seen:
            whole = '"finish_reason":"length"' in s["text"] or '"finish_reason":"stop"' in s["text"]
            assert whole or '"code":"shutting_down"' in s["text"], s["text"][-500:]
            assert "data: [DONE]" in s["text"] and s["text"].endswith("0\r\n\r\n"), s["text"][-500:]
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0, "still accepts"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


HOSTILE = ["..", "../..", "../../etc/passwd", "/etc/passwd", "a/../../b", "..\\..", "C:\\x", "CON", "a/.hidden", "-rf", "--help",
           "a\nb", "\x1b[31m", "%s%n", "$(touch pwned)", "`touch pwned`", "; touch pwned", "a/b/c", "\u202eb/a", "\uff0e\uff0e/x",
           "<script>alert(1)</script>", '"', "\\", "a" * 5000, "", " ", "org/", "/name", "org//name", "%2e%2e/x", "~/.ssh"]


def tree(folder):
    return sorted((str(p), p.stat().st_size) for p in pathlib.Path(folder).rglob("*"))


def check_names(binary, model):
    """Names of models and adapters from people who mean ill (C++ tests have 500): refused, and nothing happens."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for part in ["store/org/name", "adapters/inside", "outside"]:
            (root / part).mkdir(parents=True)
            (root / part / "adapter_config.json").write_text("{}")
        before = tree(root)
        for name in HOSTILE:
            for command in [["pull", "--offline"], ["rm"]]:
                done = subprocess.run([binary, *command, "--store", root / "store", "--", name], capture_output=True, text=True,
                                      errors="replace", timeout=60, cwd=root)
                assert 0 < done.returncode < 126, (command, name, done)
        with serving(binary, model, "--adapter-slots", "2", "--adapters-folder", str(root / "adapters"), "--quiet") as url:
            for name in HOSTILE:
                for path, call in [("/v1/completions", {"model": name, "prompt": "a", "max_tokens": 1}),
                                   ("/v1/load_lora_adapter", {"lora_name": name, "lora_path": "missing"}),
                                   ("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": name}),
                                   ("/v1/load_lora_adapter", {"lora_name": "a", "lora_path": "../outside"}),
                                   ("/v1/unload_lora_adapter", {"lora_name": name})]:
                    status, text = ask(url + path, call)
                    assert 400 <= status < 500, (path, name, status, text)
                    assert "outside/" not in text and str(root) not in text, text
                    json.loads(text)
                status, text = ask(url + "/v1/models/" + urllib.parse.quote(name, safe=""))
                assert 400 <= status < 500 or not name, (name, status, text)
        assert tree(root) == before


def main():
    binary, model = sys.argv[1], sys.argv[2]
    if missing(model):
        return 77
    check_bind(binary, model)
    check_names(binary, model)
    check_keys_and_metrics(binary, model)
    check_sigterm(binary, model, 30, 4, 40)
    check_sigterm(binary, model, 0.01, 8, 500)
    print("guards: keys, tenants, names, metrics, SIGTERM: as promised")
    return 0


if __name__ == "__main__":
    sys.exit(main())
