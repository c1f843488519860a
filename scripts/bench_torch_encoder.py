#!/usr/bin/env python3
"""BERT-base on the CPU in PyTorch, or in ONNX Runtime, with padded batches: the peer of `hoist bench encoder`.

The same lengths as `hoist bench encoder` draws (same seed), the same shape with random weights, float32. Requests are cut
into batches of --batch in order of arrival, or, with --sorted, in order of length; each batch is padded to its longest.
Attention is PyTorch's fused one with a padding mask (none where all lengths are equal). Prints one line of JSON with
"requests_per_second" and the share of computed tokens that were padding.

    python3 scripts/bench_torch_encoder.py --requests 250 --batch 16 [--sorted] [--runtime onnx] [--threads 2]
"""
import argparse
import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

SHAPES = {"bert-base": (30522, 768, 3072, 12, 12, 512), "tiny": (100, 32, 64, 2, 4, 64)}


def lengths_of(requests, shortest, longest, seed):
    out, state = [], seed
    for _ in range(requests):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(shortest + (state >> 33) % (longest - shortest + 1))
    return out


class Layer(nn.Module):
    def __init__(self, width, ffn, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.up = nn.Linear(width, ffn)
        self.down = nn.Linear(ffn, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x, mask):
        batch, seq, width = x.shape
        q, k, v = (t.reshape(batch, seq, self.heads, width // self.heads).transpose(1, 2)
                   for t in self.qkv(x).split(width, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(y.transpose(1, 2).reshape(batch, seq, width)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    def __init__(self, vocab, width, ffn, layers, heads, positions):
        super().__init__()
        self.words = nn.Embedding(vocab, width)
        self.places = nn.Embedding(positions, width)
        self.types = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Layer(width, ffn, heads) for _ in range(layers))

    def forward(self, ids, real):
        """ids int64 [batch, seq]; real float [batch, seq], 1 for tokens and 0 for padding. The mean over tokens."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.places(places) + self.types(torch.zeros_like(ids)))
        mask = ((1 - real) * -1e9)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        return (x * real[:, :, None]).sum(1) / real.sum(1, keepdim=True)


def onnx_session(model, threads):
    import io

    import onnxruntime

    buffer = io.BytesIO()
    ids = torch.zeros(2, 8, dtype=torch.long)
    torch.onnx.export(model, (ids, torch.ones(2, 8)), buffer, input_names=["ids", "real"], output_names=["out"],
                      dynamic_axes={"ids": {0: "b", 1: "s"}, "real": {0: "b", 1: "s"}}, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
    return lambda i, r: session.run(None, {"ids": i.numpy(), "real": r.numpy()})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--shape", default="bert-base", choices=list(SHAPES))
    p.add_argument("--requests", type=int, default=1000)
    p.add_argument("--shortest", type=int, default=5)
    p.add_argument("--longest", type=int, default=500)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--sorted", action="store_true")
    p.add_argument("--runtime", choices=["torch", "onnx"], default="torch")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = Bert(*SHAPES[args.shape]).eval()
    vocab = SHAPES[args.shape][0]
    lengths = lengths_of(args.requests, args.shortest, args.longest, args.seed)
    order = sorted(range(len(lengths)), key=lambda i: lengths[i]) if args.sorted else range(len(lengths))
    order = list(order)
    run = onnx_session(model, args.threads) if args.runtime == "onnx" else model
    batches, computed = [], 0
    for at in range(0, len(order), args.batch):
        group = [lengths[i] for i in order[at:at + args.batch]]
        seq = max(group)
        computed += seq * len(group)
        real = torch.zeros(len(group), seq)
        for row, n in enumerate(group):
            real[row, :n] = 1
        batches.append((torch.randint(0, vocab, (len(group), seq)), real))
    with torch.inference_mode():
        run(*batches[0])
        start = time.perf_counter()
        done, completion = 0, 0.0
        for ids, real in batches:
            run(ids, real)
            completion += (time.perf_counter() - start) * len(ids)
            done += len(ids)
        seconds = time.perf_counter() - start
    print(json.dumps({"runtime": args.runtime, "order": "length" if args.sorted else "arrival", "batch": args.batch,
                      "padding": round(1 - sum(lengths) / computed, 3), "mean_completion": round(completion / done, 3),
                      "requests_per_second": round(done / seconds, 4)}))


if __name__ == "__main__":
    sys.exit(main())
