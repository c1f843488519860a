#!/usr/bin/env python3
"""Greedy continuations and last-position logits against a golden file, through the binary.

Usage: test_golden.py HOIST_BINARY MODEL_FOLDER      (MODEL_FOLDER holds golden.json; exit 77 when it is absent)

Ids must be equal token for token, logits within 1e-4. Standard library only.
"""

import json
import pathlib
import sys

import hoist_cli

LOGIT_TOLERANCE = 1e-4


def check_case(binary, model, case):
    want = case["greedy_ids"]
    extra = ["--ignore-eos"] if 2 in want else []
    got = hoist_cli.generate(binary, model, case["prompt"], len(want), *extra)
    problems = []
    if got["prompt_ids"] != case["prompt_ids"]:
        problems.append(f"prompt_ids {got['prompt_ids']}, expected {case['prompt_ids']}")
    if got["ids"] != want:
        at = next((i for i, (a, b) in enumerate(zip(got["ids"], want)) if a != b), min(len(got["ids"]), len(want)))
        problems.append(f"ids differ from token {at} of {len(want)}: {got['ids'][at:at + 4]} for {want[at:at + 4]}")
    if not problems and not (got["text"] and case["text"].endswith(got["text"])):
        problems.append(f"text {got['text']!r} is not the end of {case['text']!r}")
    return problems


def check_logits(binary, model, golden):
    got = hoist_cli.generate(binary, model, golden["prompt"], 1, "--logits")["logits"]
    if len(got) != len(golden["values"]):
        return [f"{len(got)} logits, expected {len(golden['values'])}"]
    worst = max(abs(a - b) for a, b in zip(got, golden["values"]))
    print(f"logits of {golden['prompt']!r}: largest difference {worst:.1e} over {len(got)}")
    return [] if worst <= LOGIT_TOLERANCE else [f"logits differ by {worst:.1e}, at most {LOGIT_TOLERANCE} allowed"]


def main():
    binary, model = sys.argv[1], pathlib.Path(sys.argv[2])
    if not (model / "golden.json").exists():
        print(f"{model}: no golden.json here, skipped")
        return 77
    golden = json.loads((model / "golden.json").read_text())
    failures = 0
    for case in golden["cases"]:
        problems = check_case(binary, model, case)
        print(f"{'FAIL' if problems else 'ok'}  {case['prompt']!r}: {len(case['greedy_ids'])} tokens")
        for line in problems:
            print("      " + line)
        failures += bool(problems)
    for line in check_logits(binary, model, golden["logits"]):
        print("FAIL  " + line)
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
