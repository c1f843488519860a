"""`hoist bench serve` against `hoist serve`: what it prints, its rows and its page.

usage: test_load.py BINARY MODEL
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from server_process import missing, serving


def bench(binary, url, *arguments):
    command = [binary, "bench", "serve", "--url", url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout


def main():
    binary, model = sys.argv[1], sys.argv[2]
    if missing(model):
        return 77
    with tempfile.TemporaryDirectory() as folder, serving(binary, model, "--quiet", "--api-key", "sk-1") as url:
        page = pathlib.Path(folder) / "report.html"
        lengths = ["--prompt", "uniform:4..40", "--output", "uniform:1..12", "--key", "sk-1"]
        out = bench(binary, url, "--rate", "20,40", "--requests", "40", *lengths, "--slo-ttft", "30", "--slo-tpot", "30",
                    "--json", "--report", str(page))
        rows = json.loads(out)
        for rate in (20, 40):
            by_name = {row["name"]: row for row in rows if row.get("rate") == rate}
            assert by_name["serve.attainment"]["value"] == 1, by_name["serve.attainment"]
            assert by_name["serve.failed"]["value"] == by_name["serve.refused"]["value"] == 0
            assert by_name["serve.ttft.p50"]["value"] > 0 and by_name["serve.ttft.p50"]["unit"] == "s"
            assert by_name["serve.ttft.p50"]["value"] <= by_name["serve.ttft.p99"]["value"] <= by_name["serve.ttft.max"]["value"]
            assert 0 <= by_name["serve.generator"]["value"] <= 1
        assert [row["value"] for row in rows if row["name"] == "serve.max_rate"] == [40]
        assert "id=\"attainment\"" in page.read_text()

        trace = pathlib.Path(folder) / "trace.jsonl"
        trace.write_text("".join(json.dumps({"arrival": i / 50, "prompt_tokens": 5 + i, "output_tokens": 3}) + "\n" for i in range(20)))
        out = bench(binary, url, "--trace-file", str(trace), "--key", "sk-1", "--report", "", "--text-prompts")
        assert "trace     20     20       0      0" in out, out
        refused = subprocess.run([binary, "bench", "serve", "--url", url, "--report", ""], capture_output=True, text=True, timeout=60)
        assert refused.returncode == 2 and "--key" in refused.stderr, refused.stderr
        help_text = subprocess.run([binary, "bench", "serve", "--help"], capture_output=True, text=True, check=True).stdout
        for word in ("open loop", "TTFT", "TPOT", "goodput", "llama-server", "--slo-scale"):
            assert word in help_text, word
    print("load: rows, page, trace, keys: as promised")
    return 0


if __name__ == "__main__":
    sys.exit(main())
