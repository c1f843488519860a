#!/usr/bin/env python3
"""Renders a folder of chat templates with Python's jinja2 and with Hoist, and reports where they differ.

Usage: check_chat_templates.py FOLDER [--program build/bin/render_template]      (needs the package jinja2)

Takes every *.jinja below FOLDER, and the templates of every tokenizer_config.json. Each is rendered with a fixed set
of conversations: with and without a system message, tools, tool calls and results, reasoning, parts, documents.
"""

import argparse
import json
import pathlib
import subprocess
import sys

from jinja_reference import NOW, render

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "The weather of a place, \"now\" & <later>.",
        "parameters": {"type": "object", "required": ["place"], "properties": {
            "place": {"type": "string", "description": "City, e.g. Zürich"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "days": {"type": ["integer", "null"], "minimum": 1}}},
        "return": {"type": "string", "description": "text"}}},
    {"type": "function", "function": {"name": "add", "description": "Sums", "parameters": {
        "type": "object", "properties": {"xs": {"type": "array", "items": {"type": "number"}}, "o": {"type": "object", "properties": {"k": {"type": "boolean"}}}}, "required": ["xs"]}}},
]
SYSTEM = {"role": "system", "content": "You are terse. "}
USER = {"role": "user", "content": "  How warm is it in Zürich? 🙂\n"}
ANSWER = {"role": "assistant", "content": "Warm.\n\nVery."}
THINK = {"role": "assistant", "content": "<think>\nLet me see.\n</think>\n\nWarm."}
REASON = {"role": "assistant", "content": "Warm.", "reasoning_content": "Let me see.", "thinking": "Let me see."}


def call(content, arguments, call_id="abcdef123"):
    return {"role": "assistant", "content": content, "tool_calls": [
        {"id": call_id, "type": "function", "function": {"name": "get_weather", "arguments": arguments}}]}


def result(content, call_id="abcdef123"):
    return {"role": "tool", "name": "get_weather", "tool_call_id": call_id, "content": content}


ARGUMENTS = {"place": "Zürich", "days": 2, "unit": None, "x": [1.5, True, {"a": "b\"c"}]}
PARTS = {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "What?"}]}
CONVERSATIONS = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "turns": [SYSTEM, USER, ANSWER, {"role": "user", "content": "And?"}],
    "no_system": [USER, ANSWER, {"role": "user", "content": "And?"}],
    "answered": [USER, ANSWER],
    "thought": [USER, THINK, {"role": "user", "content": "And?"}],
    "reasoned": [USER, REASON, {"role": "user", "content": "And?"}, REASON],
    "call": [SYSTEM, USER, call("", ARGUMENTS), result("21 °C"), {"role": "assistant", "content": "21"}, {"role": "user", "content": "Thanks"}],
    "call_none": [USER, call(None, ARGUMENTS), result("{\"t\": 21}")],
    "call_text": [USER, call("Wait.", json.dumps(ARGUMENTS)), result("21")],
    "two_results": [USER, call("", ARGUMENTS), result("21"), result("22", "abcdef124")],
    "parts": [SYSTEM, PARTS],
    "bad_order": [USER, USER],
    "assistant_first": [ANSWER],
    "empty": [],
    "unknown_role": [{"role": "judge", "content": "Guilty"}],
    "developer": [{"role": "developer", "content": "Be kind."}, USER],
}
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
EXTRAS = {
    "": {},
    "tools": {"tools": TOOLS},
    "documents": {"documents": [{"title": "T", "text": "Body"}, {"title": "U", "text": "More"}]},
    "no_thinking": {"enable_thinking": False, "thinking": False},
    "thinking": {"enable_thinking": True, "thinking": True, "reasoning_effort": "high", "tools": TOOLS, "date_string": "1 Jan 2025"},
    "no_prompt": {"add_generation_prompt": False},
}


def templates(folder):
    for path in sorted(folder.rglob("*.jinja")):
        yield str(path.relative_to(folder)), path.read_text(encoding="utf-8")
    for path in sorted(folder.rglob("tokenizer_config.json")):
        given = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
        if isinstance(given, str):
            given = {"default": given}
        elif isinstance(given, list):
            given = {entry["name"]: entry["template"] for entry in given}
        for name, text in (given or {}).items():
            yield f"{path.relative_to(folder)}:{name}", text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--program", default=pathlib.Path(__file__).parent.parent / "build/bin/render_template")
    args = parser.parse_args()
    rows = []
    for name, text in templates(args.folder):
        for conversation, messages in CONVERSATIONS.items():
            for extra, more in EXTRAS.items():
                variables = {"messages": messages, "tools": None, "documents": None, "add_generation_prompt": True, **TOKENS, **more}
                rows.append((name, f"{conversation}+{extra}" if extra else conversation, text, variables))
    lines = "".join(json.dumps({"template": text, "variables": variables, "now": NOW}) + "\n" for _, _, text, variables in rows)
    answers = subprocess.run([args.program], input=lines, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    bad, refused, seen = {}, 0, set()
    for (name, case, text, variables), answer in zip(rows, map(json.loads, answers), strict=True):
        expected = render(text, variables)
        seen.add(name)
        refused += "error" in expected
        same = expected["text"] == answer.get("text") if "text" in expected else "error" in answer and expected["error"] in answer["error"]
        if not same:
            bad.setdefault(name, []).append((case, expected, answer))
    for name, cases in bad.items():
        case, expected, answer = cases[0]
        print(f"{name}: {len(cases)} differ, first {case}\n  expected {str(expected)[:600]}\n  found    {str({k: answer[k] for k in answer if k != 'generated'})[:600]}")
    print(f"{len(seen)} templates, {len(rows)} renders ({refused} refused by both), {len(bad)} templates differ")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
