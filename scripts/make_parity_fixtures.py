#!/usr/bin/env python3
"""Makes tests/fixtures/parity: tiny random models with the logits, loss and gradients transformers computes.

Usage: make_parity_fixtures.py [OUTPUT_FOLDER]      (needs torch, transformers, safetensors)

Each folder holds config.json and model.safetensors as save_pretrained writes them, and expected.safetensors:
  input_ids    int64   [batch, sequence]
  logits       float32 [batch, sequence, vocabulary]
  loss         float32 []   mean cross-entropy of predicting token t+1 at t, over all positions but the last
  grad.<name>  float32 d loss / d parameter, for every name of named_parameters(); a tied matrix appears once, under
               its embedding name, and holds the sum of both uses

Every parameter is random (norm weights and biases too) and large enough that a wrong rope, mask, scale or bias
shows in the logits. Seeds are fixed; the attention is transformers' eager one, in float32 on one thread. A float64
run of the same model bounds what rounding alone may cost; the script refuses to write an ill-conditioned fixture.
"""

import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file

BATCH, SEQUENCE = 2, 24
COMMON = dict(
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    vocab_size=96,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
    attn_implementation="eager",
)
# Wavelengths of the four rotary pairs at theta 20 and head width 8: 6.3, 13.3, 28, 59. With 16 original positions
# and these factors the first is kept, the second interpolated, the others divided: every band of the rule is met,
# and positions 16..23 lie beyond the original range.
LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=20.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=2.0,
    original_max_position_embeddings=16,
)


def build(name):
    """Returns the model of one fixture, parameters not yet drawn."""
    default_rope = dict(rope_type="default", rope_theta=100.0)
    if name == "gpt2":
        config = transformers.GPT2Config(
            n_embd=32, n_layer=2, n_head=4, n_inner=40, n_positions=32, vocab_size=96,
            bos_token_id=1, eos_token_id=2, attn_implementation="eager",
        )
        return transformers.GPT2LMHeadModel(config)
    if name == "llama2":
        config = transformers.LlamaConfig(
            **COMMON, num_key_value_heads=4, rms_norm_eps=1e-5, tie_word_embeddings=False,
            rope_parameters=default_rope,
        )
        return transformers.LlamaForCausalLM(config)
    if name in ("llama3", "llama3_tied"):
        config = transformers.LlamaConfig(
            **COMMON, num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=name == "llama3_tied",
            rope_parameters=LLAMA3_ROPE,
        )
        return transformers.LlamaForCausalLM(config)
    if name == "qwen2":
        config = transformers.Qwen2Config(
            **COMMON, num_key_value_heads=2, rms_norm_eps=1e-6, tie_word_embeddings=True,
            rope_parameters=default_rope,
        )
        return transformers.Qwen2ForCausalLM(config)
    if name == "qwen3":
        # Head width 12: neither hidden_size / heads (8) nor a power of two.
        config = transformers.Qwen3Config(
            **COMMON, num_key_value_heads=2, head_dim=12, rms_norm_eps=1e-6, tie_word_embeddings=False,
            rope_parameters=default_rope,
        )
        return transformers.Qwen3ForCausalLM(config)
    raise ValueError(name)


def draw_parameters(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1 and name.endswith("bias"):
                p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
            elif p.dim() == 1:
                p.copy_(0.5 + torch.rand(p.shape, generator=generator))
            elif "embed" in name or "wte" in name or "wpe" in name:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.7)
            else:
                fan_in = p.shape[0] if isinstance(model, transformers.GPT2LMHeadModel) else p.shape[1]
                p.copy_(torch.randn(p.shape, generator=generator) * 1.3 / fan_in**0.5)


def evaluate(model, input_ids):
    model.zero_grad()
    logits = model(input_ids=input_ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), input_ids[:, 1:].flatten())
    loss.backward()
    result = {"logits": logits.detach(), "loss": loss.detach()}
    for name, p in model.named_parameters():
        result["grad." + name] = p.grad
    return {name: t.clone().contiguous() for name, t in result.items()}


def distance(a, b, floor):
    """The measure of the parity tests: norm of the difference over max(norm, floor)."""
    return ((a.double() - b.double()).norm() / max(b.double().norm(), floor)).item()


def old_style_config(folder):
    """Rewrites config.json as transformers 4 wrote it, the style of most published checkpoints."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = rope
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def make(name, seed, root):
    folder = root / name
    model = build(name).float().eval()
    draw_parameters(model, seed)
    input_ids = torch.randint(0, 96, (BATCH, SEQUENCE), generator=torch.Generator().manual_seed(seed + 1000))
    expected = evaluate(model, input_ids)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name == "llama3_tied":
        old_style_config(folder)
    reopened = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                                 attn_implementation="eager").eval()
    again = evaluate(reopened, input_ids)
    for key, value in expected.items():
        assert torch.equal(value, again[key]), f"{name}: {key} differs after saving and loading"
    exact = evaluate(model.double(), input_ids)
    gradients = [k for k in exact if k.startswith("grad.")]
    global_norm = sum(exact[k].double().norm() ** 2 for k in gradients) ** 0.5
    worst = max(distance(expected[k], exact[k], 1e-6 * global_norm) for k in gradients)
    logits_error = distance(expected["logits"], exact["logits"], 0)
    assert logits_error < 2e-6 and worst < 2e-5, f"{name}: ill-conditioned, {logits_error:.1e} and {worst:.1e}"
    save_file({"input_ids": input_ids, **expected}, folder / "expected.safetensors")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name:12} {len(gradients):3} gradients, loss {expected['loss']:.4f}, logits std "
          f"{expected['logits'].std():.2f}, rounding: logits {logits_error:.1e}, worst gradient {worst:.1e}, "
          f"{size // 1000} kB")


def main():
    default = pathlib.Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "parity"
    root = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    for seed, name in enumerate(["gpt2", "llama2", "llama3", "llama3_tied", "qwen2", "qwen3"]):
        make(name, seed, root)


if __name__ == "__main__":
    main()
