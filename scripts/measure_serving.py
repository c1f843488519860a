#!/usr/bin/env python3
"""Measures what guards a server: slow clients, clients that never read, overload, SIGTERM, a memory budget.

Usage: measure_serving.py BINARY MODEL [--only slow|unread|overload|sigterm|memory] [--json]

Needs nothing but Python. Servers listen on loopback at ports the system chose. Each measurement starts its own server,
prints what it found, and compares within one run: healthy clients with and without slow ones beside them, the rate of
answers under overload with that of a full server.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time

HEALTHY, SLOW = 16, 500


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, options, *flags, start_in=None):
        self.port = free_port()
        command = [options.binary, "serve", options.model, "--port", str(self.port), "--quiet", *flags]
        if start_in:  # a shell that enters the cgroup and becomes the server
            command = ["sh", "-c", f'echo $$ > {start_in}/cgroup.procs && exec "$@"', "sh", *command]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    async def ready(self):
        for _ in range(1200):
            try:
                if (await ask(self.port, "GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"))[0] == 200:
                    return self
            except OSError:
                pass
            if self.process.poll() is not None:
                raise RuntimeError(self.process.stderr.read().decode())
            await asyncio.sleep(0.05)
        raise RuntimeError("the server did not become ready")

    def resident(self):
        """MiB"""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS"))

    def stop(self):
        self.process.terminate()
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def request_text(body):
    text = json.dumps(body)
    return (f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(text)}\r\n\r\n{text}")


async def ask(port, text):
    """(status, seconds to the first byte of the body, whole body)"""
    start = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text.encode())
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    first = await reader.read(1)
    seconds = time.perf_counter() - start
    body = first + await reader.read()
    writer.close()
    return int(head.split()[1]), seconds, body


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


async def healthy_load(port, rounds, tokens=16):
    """Seconds to the first token of clients that ask one after another."""
    times = []

    async def client(number):
        for turn in range(rounds):
            body = {"prompt": f"Client {number} turn {turn}: once upon a time", "max_tokens": tokens, "stream": True,
                    "temperature": 0, "ignore_eos": True}
            status, seconds, _ = await ask(port, request_text(body))
            assert status == 200, status
            times.append(seconds)

    await asyncio.gather(*(client(n) for n in range(HEALTHY)))
    return times


async def slow_clients(options):
    """Connections that send a byte of their request now and then, beside healthy ones."""
    server = await Server(options, "--max-connections", "1024", "--header-seconds", "3600").ready()
    await healthy_load(server.port, 4)
    ratios, alone, beside = [], [], []
    stop = asyncio.Event()

    async def dribble(number):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            text = request_text({"prompt": "x" * 1000, "max_tokens": 4}).encode()
            for at in range(len(text)):
                writer.write(text[at:at + 1])
                await writer.drain()
                try:
                    await asyncio.wait_for(stop.wait(), 0.5 + (number % 50) / 100)
                    break
                except asyncio.TimeoutError:
                    pass
            writer.close()
        except OSError:
            pass

    for turn in range(3):
        alone.append(quantile(await healthy_load(server.port, options.rounds), 0.99))
        stop.clear()
        slow = [asyncio.create_task(dribble(n)) for n in range(SLOW)]
        await asyncio.sleep(2)
        beside.append(quantile(await healthy_load(server.port, options.rounds), 0.99))
        stop.set()
        await asyncio.gather(*slow)
        ratios.append(beside[-1] / alone[-1])
    code = server.stop()
    return {"healthy p99 first token alone, ms": 1000 * statistics.median(alone),
            "beside 500 dribbling, ms": 1000 * statistics.median(beside),
            "ratio": statistics.median(ratios), "exit": code}


async def unread_answers(options):
    """Clients that ask for long streams and never read them."""
    server = await Server(options, "--max-connections", "1024", "--max-queue", "1024", "--write-seconds", "5").ready()
    await healthy_load(server.port, 4)
    before = server.resident()
    connections = []
    for number in range(SLOW):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        reader._transport.pause_reading()
        body = {"prompt": f"Number {number}", "max_tokens": 400, "stream": True, "ignore_eos": True, "temperature": 0}
        writer.write(request_text(body).encode())
        connections.append(writer)
    most = before
    for _ in range(40):
        await asyncio.sleep(0.5)
        most = max(most, server.resident())
    times = await healthy_load(server.port, 2)
    for writer in connections:
        writer.close()
    code = server.stop()
    return {"resident before, MiB": before, "at most, MiB": most, "healthy p99 after, ms": 1000 * quantile(times, 0.99),
            "exit": code}


async def overload(options):
    """Four times the rate a full server answers, for a while; then what it takes to recover."""
    tokens, queue = 32, 64
    server = await Server(options, "--max-queue", str(queue)).ready()
    await healthy_load(server.port, 4)
    start = time.perf_counter()
    count = len(await healthy_load(server.port, 4 * options.rounds, tokens))
    capacity = count / (time.perf_counter() - start)
    answered, refused_times, failed = [], [], []

    async def one(number):
        body = {"prompt": f"Number {number}: once upon a time", "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
        began = time.perf_counter()
        try:
            status, _, _ = await ask(server.port, request_text(body))
        except (OSError, asyncio.IncompleteReadError):
            failed.append(number)
            return
        if status == 200:
            answered.append(time.perf_counter())
        elif status in (429, 503):
            refused_times.append(time.perf_counter() - began)
        else:
            failed.append(status)

    tasks, start = [], time.perf_counter()
    gap, number = 1 / (4 * capacity), 0
    while time.perf_counter() - start < options.seconds:
        tasks.append(asyncio.create_task(one(number)))
        number += 1
        await asyncio.sleep(max(0, start + number * gap - time.perf_counter()))
    end = time.perf_counter()
    await asyncio.gather(*tasks)
    drained = time.perf_counter() - end
    status, seconds, _ = await ask(server.port, request_text({"prompt": "After", "max_tokens": 1}))
    during = sum(1 for t in answered if t <= end)
    code = server.stop()
    return {"capacity, requests/s": capacity, "offered": number / (end - start),
            "answered under overload, requests/s": during / (end - start),
            "ratio": during / (end - start) / capacity,
            "refused": len(refused_times), "refusal p99, ms": 1000 * quantile(refused_times, 0.99) if refused_times else 0,
            "failed": len(failed), "queue empty after, s": drained, "then answered in, ms": 1000 * seconds, "exit": code}


async def sigterm(options):
    """SIGTERM with 64 streams open, several times: exit code 0 in time, and no stream cut without an error event."""
    worst, cut, errors = 0.0, 0, 0
    for turn in range(options.turns):
        server = await Server(options, "--drain-seconds", "1", "--max-queue", "256").ready()

        async def stream(number):
            body = {"prompt": f"Number {number}", "max_tokens": 480, "stream": True, "ignore_eos": True, "temperature": 0}
            return await ask(server.port, request_text(body))

        tasks = [asyncio.create_task(stream(n)) for n in range(64)]
        await asyncio.sleep(0.1 + 0.05 * (turn % 5))
        began = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        code = await asyncio.to_thread(server.process.wait, 40)
        worst = max(worst, time.perf_counter() - began)
        assert code == 0, code
        for result in results:
            if isinstance(result, Exception):
                continue  # it had not been accepted
            status, _, body = result
            if status == 503:
                continue
            if b"[DONE]" not in body:
                cut += 1
            elif b'"error"' in body:
                errors += 1
    return {"turns": options.turns, "worst exit, s": worst, "streams cut": cut, "ended by an error event": errors}


class MemoryGroup:
    """A cgroup with a limit on memory, version 1 or 2; needs root."""

    def __init__(self, limit):
        version1 = os.path.isdir("/sys/fs/cgroup/memory")
        self.path = f"/sys/fs/cgroup/{'memory/' if version1 else ''}hoist-{os.getpid()}"
        self.peak_file = "memory.max_usage_in_bytes" if version1 else "memory.peak"
        os.mkdir(self.path)
        self.write("memory.limit_in_bytes" if version1 else "memory.max", limit)

    def write(self, name, value):
        with open(f"{self.path}/{name}", "w") as file:
            file.write(str(value))

    def peak(self):
        with open(f"{self.path}/{self.peak_file}") as file:
            return int(file.read())

    def remove(self):
        os.rmdir(self.path)


async def memory_budget(options):
    """A mixed load inside a cgroup of 1.05 times the budget given to the server."""
    budget = options.budget << 20
    group = MemoryGroup(int(1.05 * budget))
    server = await Server(options, "--memory", str(budget), "--max-queue", "256", "--policy", "sj-mlfq",
                          "--swap", str(budget // 16), start_in=group.path).ready()
    end = time.perf_counter() + options.seconds
    done, failed = 0, 0

    async def client(number):
        nonlocal done, failed
        turn = 0
        while time.perf_counter() < end:
            turn += 1
            kind = (number + turn) % 4
            body = {"prompt": f"Client {number} turn {turn}: " + "word " * (1 if kind else 60), "temperature": 0,
                    "max_tokens": (8, 32, 100, 200)[kind], "stream": kind % 2 == 0, "ignore_eos": True,
                    "n": 2 if kind == 1 else 1}
            if kind == 3:
                body["response_format"] = {"type": "json_object"}
                del body["ignore_eos"]
            try:
                status, _, answer = await ask(server.port, request_text(body))
            except (OSError, asyncio.IncompleteReadError):
                failed += 1
                continue
            if status == 200:
                done += 1
            elif status not in (429, 503):
                failed += 1

    await asyncio.gather(*(client(n) for n in range(24)))
    alive = server.process.poll() is None
    peak = group.peak()
    code = server.stop()
    group.remove()
    return {"budget, MiB": options.budget, "limit, MiB": 1.05 * options.budget, "peak, MiB": peak / (1 << 20),
            "requests": done, "failed": failed, "killed": 0 if alive and code == 0 else 1, "exit": code}


ROWS = {"memory": memory_budget, "slow": slow_clients, "unread": unread_answers, "overload": overload, "sigterm": sigterm}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("model")
    parser.add_argument("--only", choices=sorted(ROWS))
    parser.add_argument("--rounds", type=int, default=40, help="requests of each healthy client")
    parser.add_argument("--seconds", type=float, default=60, help="how long overload lasts")
    parser.add_argument("--budget", type=int, default=256, help="MiB that the server may use, for --only memory")
    parser.add_argument("--turns", type=int, default=20, help="of SIGTERM")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    except (ImportError, ValueError):
        pass
    results = {}
    for name, row in ROWS.items():
        if options.only == name or (options.only is None and name != "memory"):  # that one needs root
            results[name] = asyncio.run(row(options))
            if not options.json:
                print(name, *(f"  {k}: {v:.4g}" if isinstance(v, (int, float)) else f"  {k}: {v}"
                              for k, v in results[name].items()), sep="\n", flush=True)
    if options.json:
        print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
