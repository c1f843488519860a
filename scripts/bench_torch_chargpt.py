#!/usr/bin/env python3
"""The character-level GPT of docs/results.md in plain PyTorch: the peer that `hoist train recipes/chargpt.toml` runs against.

Usage: bench_torch_chargpt.py TEXT_FILE [--threads 2] [--iterations 2000] [--seeds 1 2 3]      (needs torch)

4 layers, 4 heads, width 128, context 64, batch 12, no dropout, no biases, tied embeddings; AdamW (0.9, 0.99), decay
0.1 on matrices, clipping at 1.0, learning rate 1e-3 to 1e-4 by cosine after 100 warm-up steps; weights normal(0.02),
the projections back into the residual stream by 0.02 / sqrt(2 layers). The last tenth of the text is held out; the
final loss is the mean over the whole of it, read twice: in windows side by side, where a token sees 0 to 63 others,
and in windows that overlap by half and count their second half, where it sees 32 to 63. Tokens per second counts
training steps only, data loading included.
"""

import argparse
import math
import pathlib
import time

import torch
from torch import nn
from torch.nn import functional as F

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
PEAK_RATE, FINAL_RATE, WARMUP = 1e-3, 1e-4, 100


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, bias=False)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.attention_out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.norm2 = nn.LayerNorm(WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class CharGpt(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, WIDTH)
        self.positions = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                into_residual = name.endswith(("attention_out.weight", "down.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * LAYERS) if into_residual else 0.02)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def learning_rate(step, steps):
    if step < WARMUP:
        return PEAK_RATE * (step + 1) / (WARMUP + 1)
    progress = (step - WARMUP) / max(1, steps - WARMUP)
    return FINAL_RATE + 0.5 * (1 + math.cos(math.pi * progress)) * (PEAK_RATE - FINAL_RATE)


def loss_of(model, inputs, targets):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


@torch.no_grad()
def held_out_loss(model, data, stride):
    """Mean over every predicted token; windows begin every `stride` tokens and count what no window before counted."""
    total, counted = 0.0, 0
    last = len(data) - 1
    starts = list(range(0, last - CONTEXT, stride)) + [last - CONTEXT]
    for first in range(0, len(starts), 128):
        group = starts[first : first + 128]
        offsets = torch.tensor(group)[:, None] + torch.arange(CONTEXT)
        logits = model(data[offsets])
        losses = F.cross_entropy(logits.flatten(0, 1), data[offsets + 1].flatten(), reduction="none").view(-1, CONTEXT)
        for start, row in zip(group, losses):
            fresh = start + CONTEXT - counted
            total += row[CONTEXT - fresh :].sum().item()
            counted += fresh
    assert counted == last
    return total / counted


def train(train_data, held_out, vocabulary, steps, seed):
    torch.manual_seed(seed)
    model = CharGpt(vocabulary)
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [dict(params=matrices, weight_decay=0.1), dict(params=vectors, weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_RATE, betas=(0.9, 0.99), eps=1e-8)
    window = torch.arange(CONTEXT)
    start = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        offsets = torch.randint(len(train_data) - CONTEXT, (BATCH, 1)) + window
        loss = loss_of(model, train_data[offsets], train_data[offsets + 1])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    seconds = time.perf_counter() - start
    speed = steps * BATCH * CONTEXT / seconds
    side_by_side, overlapping = held_out_loss(model, held_out, CONTEXT), held_out_loss(model, held_out, CONTEXT // 2)
    print(f"seed {seed}: held-out loss {side_by_side:.4f} side by side, {overlapping:.4f} overlapping, "
          f"{speed:.0f} tokens/s, {seconds:.1f} s", flush=True)
    return side_by_side, overlapping, speed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text = options.text.read_text(encoding="utf-8")
    ids = {c: i for i, c in enumerate(sorted(set(text)))}
    data = torch.tensor([ids[c] for c in text])
    split = len(data) * 9 // 10
    runs = [train(data[:split], data[split:], len(ids), options.iterations, seed) for seed in options.seeds]
    means = [sum(column) / len(runs) for column in zip(*runs)]
    print(f"mean of {len(runs)}: held-out loss {means[0]:.4f} side by side, {means[1]:.4f} overlapping, "
          f"{means[2]:.0f} tokens/s")


if __name__ == "__main__":
    main()
