#!/usr/bin/env python3
"""Makes tests/fixtures/gguf/sentencepiece.{json,expect}: a small SentencePiece BPE vocabulary as GGUF files hold it, and the
ids that the sentencepiece library gives for tests/fixtures/tokenizers/strings.jsonl.

Usage: make_sentencepiece_fixtures.py [OUTPUT_FOLDER]      (needs the package sentencepiece)

The .json has tokens, scores and token types (1 normal, 2 unknown, 3 control, 6 byte) by id. Line i of .expect is the 32-bit
FNV of string i's ids (little-endian int32) and of the text that comes back from them. The vocabulary is trained on the
strings in Latin letters, with Llama's settings: byte fallback, no normalization, a space put before the text.
"""

import io
import json
import pathlib
import sys

import sentencepiece


def hash32(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return (h ^ h >> 32) & 0xFFFFFFFF


def main():
    root = pathlib.Path(__file__).parent.parent / "tests/fixtures"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "gguf"
    strings = [json.loads(line) for line in (root / "tokenizers/strings.jsonl").open(encoding="utf-8")]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([s for s in strings if s and s.isprintable() and max(map(ord, s)) < 0x250]), model_writer=model, model_type="bpe",
        vocab_size=900, byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=True,
        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True, character_coverage=0.98,
        max_sentence_length=1 << 20, num_threads=1, minloglevel=2)
    sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    n = sp.get_piece_size()
    kind = lambda i: 2 if sp.is_unknown(i) else 3 if sp.is_control(i) else 6 if sp.is_byte(i) else 5 if sp.is_unused(i) else 1
    vocab = {
        "tokens": [sp.id_to_piece(i) for i in range(n)],
        "scores": [sp.get_score(i) for i in range(n)],
        "types": [kind(i) for i in range(n)],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "sentencepiece.json").write_text(json.dumps(vocab, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    lines = []
    for s in strings:
        ids = sp.encode(s)
        lines.append(f"{hash32(b''.join(i.to_bytes(4, 'little') for i in ids)):08x} {hash32(sp.decode(ids).encode()):08x}")
    (out / "sentencepiece.expect").write_text("\n".join(lines) + "\n")
    print(f"{n} tokens, {len(lines)} strings")


if __name__ == "__main__":
    main()
