#!/usr/bin/env python3
"""`hoist embed`: texts from arguments, JSON lines and text files to vectors in every format, those of the oracle.

Usage: test_embed.py HOIST_BINARY FIXTURES
FIXTURES is tests/fixtures/encoders; the vectors are what transformers computes of the same texts.
"""

import ast
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

from hoist_cli import run


def near(found, expected):
    difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(found, expected, strict=True)))
    return difference <= 1e-5 * math.sqrt(sum(b * b for b in expected))


def floats(raw, width):
    values = struct.unpack("<%df" % (len(raw) // 4), raw)
    return [list(values[i : i + width]) for i in range(0, len(values), width)]


def read_jsonl(text):
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return [row["embedding"] for row in rows]


def read_npy(raw):
    assert raw[:8] == b"\x93NUMPY\x01\x00" and (10 + struct.unpack("<H", raw[8:10])[0]) % 64 == 0
    end = 10 + struct.unpack("<H", raw[8:10])[0]
    header = ast.literal_eval(raw[10:end].decode())
    assert header["descr"] == "<f4" and header["fortran_order"] is False
    rows = floats(raw[end:], header["shape"][1])
    assert len(rows) == header["shape"][0]
    return rows


def read_safetensors(raw):
    end = 8 + struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8:end])["embeddings"]
    assert entry["dtype"] == "F32"
    rows = floats(raw[end:], entry["shape"][1])
    assert len(rows) == entry["shape"][0]
    return rows


def refused(binary, *arguments):
    done = subprocess.run([binary, "embed", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2, done
    return done.stderr


def main():
    binary, model = sys.argv[1], pathlib.Path(sys.argv[2]) / "sentence"
    expected = json.loads((model / "texts.json").read_text())
    texts, vectors = expected["texts"], expected["vectors"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        found = read_jsonl(run(binary, "embed", model, *texts))
        assert all(near(a, b) for a, b in zip(found, vectors, strict=True))
        # Lines of either kind, and many of them: several windows and batches, the same bits everywhere.
        many = (texts * 2000)[: 9001]
        lines = [json.dumps(t if i % 2 else {"id": i, "body": t}) for i, t in enumerate(many)]
        (folder / "texts.jsonl").write_text("\n".join(lines) + "\n\n")
        out = {}
        for name, read in (("v.jsonl", lambda p: read_jsonl(p.read_text())), ("v.npy", lambda p: read_npy(p.read_bytes())),
                           ("v.safetensors", lambda p: read_safetensors(p.read_bytes()))):
            run(binary, "embed", model, "--file", folder / "texts.jsonl", "--field", "body", "-o", folder / name)
            out[name] = read(folder / name)
            assert len(out[name]) == len(many)
            assert all(row == out[name][i % len(texts)] for i, row in enumerate(out[name])), name
        assert out["v.npy"] == out["v.safetensors"]
        single = [struct.unpack("<f", struct.pack("<f", x))[0] for x in out["v.jsonl"][0]]
        assert single == out["v.npy"][0], "nine digits give a float back"
        assert all(near(a, b) for a, b in zip(out["v.npy"], vectors))
        (folder / "plain.txt").write_text("\n".join(texts) + "\n")
        plain = read_jsonl(run(binary, "embed", model, "-f", folder / "plain.txt", "--batch-tokens", "64"))
        assert plain == found
        piped = subprocess.run([binary, "embed", model, "-f", "-"], input="".join(json.dumps(t) + "\n" for t in texts),
                               capture_output=True, text=True, timeout=60)
        assert read_jsonl(piped.stdout) == found, piped.stderr
        prefixed = read_jsonl(run(binary, "embed", model, "cat sat on the mat.", "--prefix", "The "))
        assert prefixed == found[:1]
        # What is wrong is said, with its place, and no file is left behind.
        assert "is there already" in refused(binary, model, "a", "-o", folder / "v.npy")
        assert "expected a name" in refused(binary, model, "a", "-o", folder / "v.txt")
        assert "no texts" in refused(binary, model)
        assert "together" in refused(binary, model, "a", "-f", folder / "texts.jsonl")
        (folder / "long.jsonl").write_text('"a"\n' + json.dumps("a " * 900) + "\n")
        message = refused(binary, model, "-f", folder / "long.jsonl", "-o", folder / "long.npy")
        assert "long.jsonl:2" in message and "--truncate" in message, message
        assert not list(folder.glob("long.npy*"))
        assert len(read_jsonl(run(binary, "embed", model, "-f", folder / "long.jsonl", "--truncate"))) == 2
        (folder / "bad.jsonl").write_text('"a"\n{"text": 5}\n')
        done = subprocess.run([binary, "embed", model, "-f", folder / "bad.jsonl"], capture_output=True, text=True)
        assert done.returncode != 0 and "bad.jsonl:2: text" in done.stderr, done.stderr
        (folder / "empty.jsonl").write_text("")
        run(binary, "embed", model, "-f", folder / "empty.jsonl", "-o", folder / "empty.npy")
        assert read_npy((folder / "empty.npy").read_bytes()) == []
    print("ok")


if __name__ == "__main__":
    main()
