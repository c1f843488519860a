#!/usr/bin/env python3
"""Writes tests/fixtures/optimizers/steps.json: where optimizers of PyTorch (and, where it has none, short
references below) take two small parameters in a few steps; and dpo.json: the loss of direct preference
optimization with its gradient.

Needs torch 2.9 or newer. Parameters and gradients are given by a formula (`numbers`) that the test repeats, so
that the file holds results only. References run in float64, but for the storage of states in 16 and 8 bits.

  scripts/make_optimizer_fixtures.py
"""

import json
import math
import pathlib

import torch

ROWS, COLS, STEPS, LR = 6, 5, 6, 0.02
BIG_ROWS, BIG_COLS = 16, 300  # enough elements for 8-bit states
OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "optimizers"


def numbers(count, salt, step=0):
    """Numbers in [-1, 1] that every language computes alike, as float32."""
    values = [((i * 7919 + step * 104729 + salt * 1299709) % 2003 - 1001) / 1001 for i in range(count)]
    return torch.tensor(values, dtype=torch.float32).double()


def parameters(rows=ROWS, cols=COLS):
    return [numbers(rows * cols, 1).view(rows, cols).clone(), numbers(cols, 2).clone()]


def gradients(step, rows=ROWS, cols=COLS):
    return [numbers(rows * cols, 3, step).view(rows, cols), numbers(cols, 4, step)]


class Lion:
    def __init__(self, groups, lr, betas):
        self.groups, self.lr, self.betas = groups, lr, betas
        self.m = {}

    def step(self):
        b1, b2 = self.betas
        for group in self.groups:
            for p in group["params"]:
                m = self.m.get(p, torch.zeros_like(p))
                update = (b1 * m + (1 - b1) * p.grad).sign() + group["weight_decay"] * p.data
                p.data -= self.lr * update
                self.m[p] = b2 * m + (1 - b2) * p.grad


class Lamb:
    def __init__(self, groups, lr, betas, eps):
        self.groups, self.lr, self.betas, self.eps = groups, lr, betas, eps
        self.state, self.t = {}, 0

    def step(self):
        b1, b2 = self.betas
        self.t += 1
        for group in self.groups:
            for p in group["params"]:
                m, v = self.state.get(p, (torch.zeros_like(p), torch.zeros_like(p)))
                m, v = b1 * m + (1 - b1) * p.grad, b2 * v + (1 - b2) * p.grad**2
                self.state[p] = (m, v)
                u = (m / (1 - b1**self.t)) / ((v / (1 - b2**self.t)).sqrt() + self.eps)
                u += group["weight_decay"] * p.data
                w, n = p.data.norm(), u.norm()
                trust = w / n if w > 0 and n > 0 else 1.0
                p.data -= self.lr * trust * u


def dynamic_values(signed):
    """Dettmers et al. 2021: seven decades, each with twice the values of the one below."""
    out = [0.0, 1.0]
    for decade in range(7):
        parts = 2 ** (decade if signed else decade + 1)
        edges = torch.linspace(0.1, 1, parts + 1, dtype=torch.float64)
        middles = 10.0 ** (decade - 6) * (edges[:-1] + edges[1:]) / 2
        out += middles.tolist() + ((-middles).tolist() if signed else [])
    assert len(out) == 256
    return torch.tensor(sorted(out), dtype=torch.float64)


def through_8bit(x, signed):
    """What a tensor reads as after a round trip: rows in blocks of 256."""
    values = dynamic_values(signed)
    out = torch.empty_like(x)
    for row in range(x.shape[0]):
        for at in range(0, x.shape[1], 256):
            block = x[row, at : at + 256]
            scale = block.abs().max()
            nearest = ((block / (scale if scale > 0 else 1))[:, None] - values[None, :]).abs().argmin(dim=1)
            out[row, at : at + 256] = values[nearest] * scale
    return out


class AdamwStored:
    """AdamW whose moments are stored between steps by `store(tensor, signed)`."""

    def __init__(self, groups, lr, betas, eps, store):
        self.groups, self.lr, self.betas, self.eps, self.store = groups, lr, betas, eps, store
        self.state, self.t = {}, 0

    def step(self):
        b1, b2 = self.betas
        self.t += 1
        for group in self.groups:
            for p in group["params"]:
                m, v = self.state.get(p, (torch.zeros_like(p), torch.zeros_like(p)))
                m, v = b1 * m + (1 - b1) * p.grad, b2 * v + (1 - b2) * p.grad**2
                u = (m / (1 - b1**self.t)) / ((v / (1 - b2**self.t)).sqrt() + self.eps)
                p.data -= self.lr * (u + group["weight_decay"] * p.data)
                self.state[p] = (self.store(m, True), self.store(v, False))


def newton_schulz_wide(grad, coefficients, steps, eps):
    """torch.optim's iteration without its rounding to bfloat16."""
    a, b, c = coefficients
    x = grad.T if grad.size(0) > grad.size(1) else grad.clone()
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if grad.size(0) > grad.size(1) else x


class Both:
    def __init__(self, *parts):
        self.parts = parts

    def step(self):
        for part in self.parts:
            part.step()


def run(make, rows=ROWS, cols=COLS, decay=0.1, average=None):
    matrix, vector = (torch.nn.Parameter(p) for p in parameters(rows, cols))
    groups = [{"params": [matrix], "weight_decay": decay}, {"params": [vector], "weight_decay": 0.0}]
    optimizer = make(groups)
    holder = torch.nn.ParameterList([matrix, vector])
    averaged = None
    if average:
        averaged = torch.optim.swa_utils.AveragedModel(
            holder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(average)
        )
        averaged.update_parameters(holder)  # the first call copies
    for step in range(STEPS):
        matrix.grad, vector.grad = gradients(step, rows, cols)
        optimizer.step()
        if averaged is not None:
            averaged.update_parameters(holder)
    shown = list(averaged.module) if averaged is not None else [matrix, vector]
    return [p.detach().flatten().tolist() for p in shown]


def dpo():
    pairs, seq, vocab, beta = 3, 5, 7, 0.3
    out = {"pairs": pairs, "seq": seq, "vocab": vocab, "beta": beta}
    log_probabilities = []
    logits = []
    for salt, name in enumerate(("chosen", "rejected")):
        x = (3 * numbers(pairs * seq * vocab, 10 + salt)).view(pairs, seq, vocab).requires_grad_()
        targets = torch.tensor(
            [[(r * 5 + i * 3 + salt) % vocab if i >= 1 + r % 2 and i < seq - salt else -1 for i in range(seq)]
             for r in range(pairs)]
        )
        mask = targets >= 0
        picked = x.log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
        log_probabilities.append((picked * mask).sum(-1))
        logits.append(x)
        out[name] = x.detach().flatten().tolist()
        out[name + "_targets"] = targets.flatten().tolist()
    reference = [5 * numbers(pairs, 20) - 8, 5 * numbers(pairs, 21) - 8]
    out["reference_chosen"], out["reference_rejected"] = (r.tolist() for r in reference)
    margin = beta * ((log_probabilities[0] - log_probabilities[1]) - (reference[0] - reference[1]))
    loss = -torch.nn.functional.logsigmoid(margin)
    loss.sum().backward()
    out["want.loss"] = loss.detach().tolist()
    out["want.chosen_log_probability"] = log_probabilities[0].detach().tolist()
    out["want.grad.chosen"] = logits[0].grad.flatten().tolist()
    out["want.grad.rejected"] = logits[1].grad.flatten().tolist()
    (OUT / "dpo.json").write_text(json.dumps(out) + "\n")


def main():
    import torch.optim._muon as muon_module

    muon_module._zeropower_via_newtonschulz = newton_schulz_wide
    optim = torch.optim
    betas, eps = (0.9, 0.99), 1e-8

    def adamw(groups):
        return optim.AdamW(groups, lr=LR, betas=betas, eps=eps)

    def muon(scale):
        def make(groups):
            return Both(
                optim.Muon([dict(groups[0])], lr=LR, momentum=0.95, nesterov=True, adjust_lr_fn=scale),
                adamw(groups[1:]),
            )

        return make

    cases = {
        "adamw": run(adamw),
        "sgd": run(lambda g: optim.SGD(g, lr=LR, momentum=0.9)),
        "sgd_nesterov": run(lambda g: optim.SGD(g, lr=LR, momentum=0.9, nesterov=True)),
        "sgd_plain": run(lambda g: optim.SGD(g, lr=LR)),
        "lion": run(lambda g: Lion(g, LR, betas)),
        "lamb": run(lambda g: Lamb(g, LR, betas, 1e-6)),
        "adafactor": run(lambda g: optim.Adafactor(g, lr=LR, eps=(1e-15, 1e-3), foreach=False)),
        "adafactor_large_lr": run(lambda g: optim.Adafactor(g, lr=0.9, eps=(1e-15, 1e-3), foreach=False)),
        "muon_rms": run(muon("match_rms_adamw")),
        "muon_plain": run(muon("original")),
        "ema": run(adamw, average=0.8),
        "adamw_bf16": run(
            lambda g: AdamwStored(g, LR, betas, eps, lambda x, signed: x.float().bfloat16().double())
        ),
    }
    # 8 bits: elements of the larger matrix, and how far they are from those of 32-bit states.
    stored = run(
        lambda g: AdamwStored(
            g, LR, betas, eps, lambda x, signed: through_8bit(x, signed) if x.dim() == 2 else x
        ),
        BIG_ROWS,
        BIG_COLS,
    )
    exact = run(adamw, BIG_ROWS, BIG_COLS)
    error = math.sqrt(sum((a - b) ** 2 for a, b in zip(stored[0], exact[0])) / len(exact[0]))
    moved = parameters(BIG_ROWS, BIG_COLS)[0].flatten().tolist()
    path = math.sqrt(sum((a - b) ** 2 for a, b in zip(exact[0], moved)) / len(moved))
    cases["adamw_8bit"] = [stored[0][::37], stored[1][::37]]
    cases["adamw_8bit_of_f32"] = [exact[0][::37], exact[1][::37]]
    out = {
        "rows": ROWS,
        "cols": COLS,
        "big_rows": BIG_ROWS,
        "big_cols": BIG_COLS,
        "every": 37,
        "steps": STEPS,
        "lr": LR,
        "rms_error_8bit": error,
        "rms_path": path,
        "cases": cases,
    }
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "steps.json").write_text(json.dumps(out) + "\n")
    dpo()
    print(f"8-bit states: rms error {error:.2e} of a path of {path:.2e} ({100 * error / path:.2f} %)")


if __name__ == "__main__":
    main()
