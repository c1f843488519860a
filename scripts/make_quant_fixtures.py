#!/usr/bin/env python3
"""Makes tests/fixtures/quant/codecs.txt: what ggml's reference quantizers make of inputs anyone can compute.

Usage: make_quant_fixtures.py LIBGGML.so [OUTPUT]      (needs numpy and the package gguf)

LIBGGML.so is a build of ggml's ggml-quants.c and ggml.c (any release; C without -ffast-math, and without fused
multiply-adds: -ffp-contract=off), which exports quantize_row_<format>_ref and dequantize_row_<format>.

Lines of the output:
  bytes <format> <case> <hex>       blocks of the first 256 values of the case
  quantize <format> <case> <n> <h>  FNV-1a of the blocks of the first n values
  dequantize <format> <n> <h>       FNV-1a of the floats of n values of random blocks, every NaN as 7fc00000
Inputs come from Philox4x32-10 with key 2026 (base/rng.h, CounterRng(2026, stream).bits(i)) through operations that are
exact in float32; see values() here and in tests/quant/codec_test.cc. Two oracles vouch for each line where both can:
libggml, and gguf's own numpy code.
"""

import ctypes
import os
import pathlib
import sys

import gguf
import numpy as np

FORMATS = {  # name -> (block, bytes, C name)
    "q8_0": (32, 34, "q8_0"), "q4_0": (32, 18, "q4_0"), "q4_1": (32, 20, "q4_1"), "q5_0": (32, 22, "q5_0"),
    "q5_1": (32, 24, "q5_1"), "q4_k": (256, 144, "q4_K"), "q5_k": (256, 176, "q5_K"), "q6_k": (256, 210, "q6_K"),
}
CASES = ["gaussian", "small", "constant", "negative_constant", "zero", "outlier", "ramp", "steps", "subnormal", "vanishing",
         "overflow", "huge", "positive", "negative", "sparse", "any_bits"]
N = 16384
BLOCKS = 1024  # decoded ones; enough that some of their random scales are infinities and NaN


def bits(stream, n):
    """CounterRng(2026, stream).bits(0..n-1)."""
    c = [np.arange(n, dtype=np.uint64), np.zeros(n, np.uint64), np.full(n, stream, np.uint64), np.zeros(n, np.uint64)]
    k0, k1 = 2026, 0
    low = np.uint64(0xFFFFFFFF)
    for _ in range(10):
        p0, p1 = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0), p1 & low, (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1), p0 & low]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c[1] << np.uint64(32) | c[0]


def values(case, n):
    r = bits(1 + CASES.index(case), n)
    i = np.arange(n)
    total = sum(((r >> np.uint64(8 * b)) & np.uint64(255)).astype(np.int64) for b in range(8)) - 1020  # bell-shaped
    bell = total.astype(np.float32)  # whole numbers, exact
    scaled = lambda e: np.ldexp(bell, e).astype(np.float32)
    x = {
        "gaussian": lambda: scaled(-10), "small": lambda: scaled(-16), "vanishing": lambda: scaled(-32),
        "subnormal": lambda: scaled(-149), "overflow": lambda: scaled(12), "huge": lambda: scaled(116),
        "constant": lambda: np.full(n, 0.37, np.float32), "negative_constant": lambda: np.full(n, -0.37, np.float32),
        "zero": lambda: np.zeros(n, np.float32),
        "outlier": lambda: np.where(i % 256 == 77, np.float32(100), scaled(-16)).astype(np.float32),
        "ramp": lambda: i.astype(np.float32) * np.float32(0.01),
        "steps": lambda: (r % np.uint64(17)).astype(np.float32) * np.float32(0.5) - np.float32(4),
        "positive": lambda: np.abs(scaled(-10)) + np.float32(1), "negative": lambda: -np.abs(scaled(-10)) - np.float32(1),
        "sparse": lambda: np.where(r % np.uint64(16) == 0, scaled(-10), np.float32(0)).astype(np.float32),
        "any_bits": lambda: (r.astype(np.uint32) & ~np.where(r.astype(np.uint32) & 0x7F800000 == 0x7F800000,
                                                             0x40000000, 0).astype(np.uint32)).view(np.float32),
    }[case]()
    assert x.dtype == np.float32 and np.isfinite(x).all()
    return np.ascontiguousarray(x)


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def main():
    lib = ctypes.CDLL(sys.argv[1], mode=os.RTLD_LAZY)
    out_path = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else
                            pathlib.Path(__file__).parent.parent / "tests/fixtures/quant/codecs.txt")
    lines, numpy_agrees, numpy_differs = [], 0, []
    for name, (block, size, c_name) in FORMATS.items():
        encode, decode = getattr(lib, f"quantize_row_{c_name}_ref"), getattr(lib, f"dequantize_row_{c_name}")
        encode.argtypes = decode.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        encode.restype = decode.restype = None
        kind = getattr(gguf.GGMLQuantizationType, name.upper())
        for case in CASES:
            x = values(case, N)
            blocks = np.zeros(N // block * size, np.uint8)
            encode(x.ctypes.data, blocks.ctypes.data, N)
            try:
                with np.errstate(all="ignore"):
                    same = (gguf.quants.quantize(x, kind).reshape(-1) == blocks).all()
                numpy_agrees += bool(same)
                if not same:
                    numpy_differs.append(f"{name}/{case}")
            except NotImplementedError:
                pass
            lines.append(f"bytes {name} {case} {blocks[: 256 // block * size].tobytes().hex()}")
            lines.append(f"quantize {name} {case} {N} {fnv(blocks.tobytes())}")
        blocks = bits(100 + block + size, BLOCKS * size // 8).view(np.uint8).copy()
        y = np.zeros(BLOCKS * block, np.float32)
        decode(blocks.ctypes.data, y.ctypes.data, y.size)
        with np.errstate(all="ignore"):
            z = gguf.quants.dequantize(blocks, kind).reshape(-1).astype(np.float32)
        for a in (y, z):
            a.view(np.uint32)[np.isnan(a)] = 0x7FC00000
        assert np.isnan(y).any(), f"{name}: no scale is a NaN"
        assert (y.view(np.uint32) == z.view(np.uint32)).all(), f"{name}: the two oracles decode differently"
        lines.append(f"dequantize {name} {y.size} {fnv(y.tobytes())}")
    out_path.parent.mkdir(parents=True, exist_ok=True)
    out_path.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} lines; gguf's numpy quantizers give the same bytes for {numpy_agrees} cases, others for {numpy_differs}")


if __name__ == "__main__":
    main()
