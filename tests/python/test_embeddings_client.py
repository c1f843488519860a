#!/usr/bin/env python3
"""The real `openai` client against `hoist serve` of an encoder, and the reranking routes by plain HTTP.

Usage: test_embeddings_client.py HOIST_BINARY FIXTURES     (exit 77 when the openai package is missing)
FIXTURES is tests/fixtures/encoders; the answers are what transformers computes of the same texts.
"""

import json
import math
import pathlib
import sys
import urllib.request

import server_process

try:
    import openai
except ImportError:
    print("the openai package is not installed, skipped")
    sys.exit(77)


def near(found, expected):
    difference = math.sqrt(sum((a - b) ** 2 for a, b in zip(found, expected, strict=True)))
    return difference <= 1e-5 * math.sqrt(sum(b * b for b in expected))


def post(url, path, body):
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=30))


def check_embeddings(binary, folder):
    expected = json.loads((folder / "texts.json").read_text())
    with server_process.serving(binary, str(folder)) as url:
        client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
        model = next(iter(client.models.list())).id
        for encoding in ("float", "base64"):
            answer = client.embeddings.create(model=model, input=expected["texts"], encoding_format=encoding)
            assert [row.index for row in answer.data] == list(range(len(expected["texts"])))
            for row, vector in zip(answer.data, expected["vectors"], strict=True):
                found = row.embedding
                if isinstance(found, str):
                    import base64
                    import struct
                    raw = base64.b64decode(found)
                    found = struct.unpack("<%df" % (len(raw) // 4), raw)
                assert near(found, vector), (encoding, row.index)
        tokens = client.embeddings.create(model=model, input=[2, 5, 6, 3], encoding_format="float")
        assert tokens.usage.total_tokens == 4, tokens.usage
        try:
            client.embeddings.create(model=model, input="a " * 500)
            raise AssertionError("a text beyond the context was accepted")
        except openai.BadRequestError as error:
            assert "60" in str(error), error
        # Without a head, relevance is the cosine of two vectors.
        order = post(url, "/v1/rerank", {"query": expected["texts"][0], "documents": expected["texts"]})["results"]
        assert order[0]["index"] == 0 and abs(order[0]["relevance_score"] - 1) < 1e-5, order


def check_rerank(binary, folder):
    expected = json.loads((folder / "texts.json").read_text())
    with server_process.serving(binary, str(folder)) as url:
        answer = post(url, "/rerank", {"query": expected["query"], "documents": expected["texts"], "return_documents": True})
        scores = [1 / (1 + math.exp(-score[0])) for score in expected["scores"]]
        assert [r["index"] for r in answer["results"]] == sorted(range(len(scores)), key=lambda i: -scores[i]), answer
        for r in answer["results"]:
            assert abs(r["relevance_score"] - scores[r["index"]]) < 1e-5 and r["document"]["text"] == expected["texts"][r["index"]]
        pairs = post(url, "/v1/score", {"text_1": expected["query"], "text_2": expected["texts"]})
        assert all(abs(row["score"] - scores[row["index"]]) < 1e-5 for row in pairs["data"]), pairs


def main():
    binary, fixtures = sys.argv[1], pathlib.Path(sys.argv[2])
    check_embeddings(binary, fixtures / "sentence")
    check_rerank(binary, fixtures / "cross")
    print("ok")


if __name__ == "__main__":
    main()
