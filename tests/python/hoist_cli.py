"""Runs the hoist binary for the Python tests."""

import json
import subprocess


def run(binary, *arguments, timeout=300, cwd=None):
    """Returns standard output; a failure raises with what the binary said."""
    done = subprocess.run([str(binary), *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                          cwd=cwd)
    if done.returncode != 0:
        raise RuntimeError(f"{binary} {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def generate(binary, model, prompt, count, *extra):
    """One greedy `hoist generate --json`, parsed. The prompt is a text, or a list of token ids."""
    given = ["-p", prompt] if isinstance(prompt, str) else ["--prompt-ids", ",".join(map(str, prompt))]
    return json.loads(
        run(binary, "generate", model, *given, "-n", count, "--temperature", "0", "--json", *extra)
    )
