"""Thousands of malformed requests over every route, by a generator with a seed: the server never crashes, answers nothing
with 5xx but 501 and 503, and each refusal of a field names it.

usage: test_malformed.py BINARY MODEL [COUNT [SEED]]
"""

import json
import random
import socket
import sys
from urllib.parse import urlparse

from server_process import missing, serving

ROUTES = ["/", "/health", "/ready", "/metrics", "/v1/models", "/v1/models/stories260K", "/v1/completions",
          "/v1/chat/completions", "/infill", "/nowhere", "/v1/models/../health"]
METHODS = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW", "get", "G\x01T", ""]
VALUES = [None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e308, -1e308, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -2**63 - 1, 1e-320,
          "", "a", "1", " ", "\u0000", "\ud7ff\U0001f600", "x" * 5000, [], {}, [[]], [{}], [None], ["a", 1], [-1], [10**9],
          [1, 2], [[1], [2]], ["a"] * 65, {"a": 1}, {"include_usage": 1}, {"include_usage": True, "other": 1},
          [["a"]], [1, "a"], [1.5], {"type": "json_schema"}, [{"role": "user"}], [{"role": 3, "content": "x"}],
          [{"role": "user", "content": "hello"}], [{"role": "user", "content": [{"type": "image_url"}]}]]
FIELDS = ["prompt", "max_tokens", "temperature", "top_p", "top_k", "min_p", "repeat_penalty", "repetition_penalty", "seed",
          "stop", "stream", "stream_options", "n", "best_of", "presence_penalty", "frequency_penalty", "logit_bias", "suffix",
          "logprobs", "echo", "user", "metadata", "model", "no_such_field", "messages", "tools", "response_format", "prompt_logprobs",
          "input_prefix", "input_suffix", "input_extra", "n_predict", "n_indent", "samplers", "t_max_predict_ms"]
RAW_VALUES = ["NaN", "Infinity", "-", "01", "1e999", "1e", '"\\ud800"', '"\\x"', "'a'", "tru", "[1,]", '{"a":1,"a":2}',
              "[" * 100 + "]" * 100, "[" * 5000, '{"a":' * 70 + "1" + "}" * 70, "9" * 400, '"\t"', '"\xff"']


class Connection:
    """Keeps one connection to the server while the server does."""

    def __init__(self, address):
        self.address, self.socket, self.buffer = address, None, b""

    def send(self, data):
        if self.socket is None:
            self.socket, self.buffer = socket.create_connection(self.address, timeout=60), b""
        self.socket.sendall(data)

    def more(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("closed")
        self.buffer += chunk

    def until(self, end):
        while end not in self.buffer:
            self.more()
        part, self.buffer = self.buffer.split(end, 1)
        return part

    def answer(self, head_only):
        """(status, headers, body) of the next answer."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
        status = int(lines[0].split(" ")[1])
        if status == 100:
            return self.answer(head_only)
        body = b""
        if head_only:
            pass
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(self.until(b"\r\n"), 16):
                while len(self.buffer) < size + 2:
                    self.more()
                body, self.buffer = body + self.buffer[:size], self.buffer[size + 2:]
            self.until(b"\r\n")
        else:
            size = int(headers["content-length"])
            while len(self.buffer) < size:
                self.more()
            body, self.buffer = self.buffer[:size], self.buffer[size:]
        if headers.get("connection") == "close":
            self.close()
        return status, headers, body

    def close(self):
        if self.socket is not None:
            self.socket.close()
        self.socket = None


def json_body(rng):
    """(text, the one field that may be to blame, or None)"""
    base = {"prompt": "a", "max_tokens": 1} if rng.random() < 0.8 else {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    field = rng.choice(FIELDS)
    kind = rng.random()
    if kind < 0.6:
        named = field if "prompt" in base else None  # messages are to blame first
        base[field] = rng.choice(VALUES)
        return json.dumps(base, ensure_ascii=rng.random() < 0.5), named
    if kind < 0.8:
        base.pop(field, None)
        text = json.dumps(base)
        return text[:-1] + ", " + json.dumps(field) + ": " + rng.choice(RAW_VALUES) + "}", None
    if kind < 0.9:
        text = bytearray(json.dumps(base).encode())
        for _ in range(rng.randrange(1, 4)):
            text[rng.randrange(len(text))] = rng.randrange(256)
        return bytes(text).decode("latin-1"), None
    return rng.choice(["", "null", "[]", "3", '"a"', "{", "{}", "\ufeff{}", '{"prompt":"a"}{}', " " * 1000]), None


def request(rng):
    """(bytes, field to blame or None, whether the answer has no body, whether the head itself is damaged)"""
    path = rng.choice(ROUTES if rng.random() < 0.4 else ["/v1/completions", "/v1/chat/completions", "/infill"])
    usual = "POST" if path.endswith(("completions", "infill")) else "GET"
    method = usual if rng.random() < 0.9 else rng.choice(METHODS)
    text, field = json_body(rng) if method == "POST" or rng.random() < 0.2 else ("", None)
    if not (method == "POST" and path == "/v1/completions"):
        field = None
    body = text.encode("utf-8", "surrogatepass")
    headers = ["Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    damaged = rng.random() < 0.15
    version = "HTTP/1.1"
    if damaged:
        damage = rng.randrange(9)
        if damage == 0:
            headers[0] = rng.choice(["Host: evil.example", "Host:", "Host: [::1", "X: y", "Host: a b"])
        elif damage == 1:
            headers[1] = rng.choice(["Content-Type: text/plain", "Content-Type:", "Content-Type: application/json; charset=x"])
        elif damage == 2:
            headers.append("Content-Length: " + rng.choice(["-1", "x", "1e3", "99999999999999999999", "5, 5"]))
        elif damage == 3:
            headers.append("Transfer-Encoding: " + rng.choice(["chunked", "gzip", "chunked, chunked", "identity"]))
        elif damage == 4:
            headers += [f"X-{i}: y" for i in range(rng.choice([50, 98, 120]))]
        elif damage == 5:
            headers.append("X: " + "y" * rng.choice([1000, 20000]))
        elif damage == 6:
            headers.append(rng.choice(["no colon", ": no name", " folded", "Bad\x00Name: x", "Origin: http://evil.example"]))
        elif damage == 7:
            version = rng.choice(["HTTP/9.9", "HTTP/1", "", "HTP/1.1"])
        else:
            path = rng.choice(["*", "no-slash", "/%", "/%zz", "/%00", "/a%2fb", "/\x7f", "/" + "a" * 20000, "http://x:y/", "/a#b"])
    head = "\r\n".join([f"{method} {path} {version}", *headers]) + "\r\n\r\n"
    return head.encode("latin-1") + body, None if damaged else field, method == "HEAD", damaged or method not in METHODS[:8]


def check(status, body, field, sent):
    assert status < 500 or status in (501, 503), (status, body[:300], sent[:600])
    if status == 400 and body:
        error = json.loads(body)["error"]
        assert error["message"], sent[:600]
        if error["code"] == "invalid_json":  # a number that nothing can hold has no field yet, but a place
            assert error["message"].startswith("request body: "), (error, sent[:600])
            assert field is None or "byte " in error["message"], (error, sent[:600])
        elif field is not None:
            blamed = error["param"] or ""
            assert field in (blamed, *error["message"].replace(":", " ").replace("[", " ").replace(".", " ").split()), (
                field, error, sent[:600])


def main():
    binary, model = sys.argv[1], sys.argv[2]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 5000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    if missing(model):
        return 77
    rng = random.Random(seed)
    statuses = {}
    with serving(binary, model, "--quiet", "--context", "64", "--max-body", "65536", "--header-seconds", "0.3",
                 "--body-seconds", "0.3") as url:
        parts = urlparse(url)
        connection = Connection((parts.hostname, parts.port))
        for i in range(count):
            data, field, head_only, damaged = request(rng)
            if rng.random() < 0.02:  # cut short, and gone
                try:
                    connection.send(data[: rng.randrange(len(data))])
                except ConnectionError:
                    pass
                connection.close()
                continue
            try:
                connection.send(data)
                status, _, body = connection.answer(head_only)
            except ConnectionError:
                connection.close()
                # A refusal closes the connection; what we sent after it may reset it before we have read why.
                assert damaged or len(data) > 16384, (i, data[:600])
                continue
            statuses[status] = statuses.get(status, 0) + 1
            check(status, body, field, data)
            if damaged:
                connection.close()  # the two sides may not agree on where it ended
        connection.close()
        # It still works.
        body = b'{"prompt": "Once", "max_tokens": 2}'
        connection.send(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert connection.answer(False)[0] == 200
        connection.close()
    print(f"{count} requests, seed {seed}:", ", ".join(f"{n} x {s}" for s, n in sorted(statuses.items())))
    assert statuses.get(200, 0) > count / 50 and statuses.get(400, 0) > count / 10
    return 0


if __name__ == "__main__":
    sys.exit(main())
