#!/usr/bin/env python3
"""Makes tests/fixtures/parity: tiny random models with the logits, loss and gradients transformers computes.

Usage: make_parity_fixtures.py [OUTPUT_FOLDER]      (needs torch, transformers, safetensors)

Each folder holds config.json and model.safetensors as save_pretrained writes them, and expected.safetensors:
  input_ids    int64   [batch, sequence]
  logits       float32 [batch, sequence, vocabulary]
  loss         float32 []   mean cross-entropy of predicting token t+1 at t, over all positions but the last
  grad.<name>  float32 d loss / d parameter, for every name in model.safetensors; a tied matrix appears once, under
               its embedding name, and holds the sum of both uses. Fixtures of LOGITS_ONLY have none.

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


# At theta 20 and head width 12 the blend runs over pairs 0 to 3 of six.
YARN_ROPE = dict(
    rope_type="yarn",
    rope_theta=20.0,
    factor=4.0,
    beta_fast=3.0,
    beta_slow=0.5,
    original_max_position_embeddings=16,
)
MOE = dict(num_experts_per_tok=2, moe_intermediate_size=16, num_experts=5)
LOGITS_ONLY = ["phi3_short", "smollm3", "llama_dynamic"]


def build(name):
    """Returns the model of one fixture, parameters not yet drawn."""
    default_rope = dict(rope_type="default", rope_theta=100.0)
    longrope = dict(
        rope_type="longrope", rope_theta=100.0, short_factor=[1.0, 1.125, 1.25], long_factor=[1.5, 2.5, 4.0]
    )
    if name == "mistral":
        config = transformers.MistralConfig(
            **COMMON, num_key_value_heads=2, head_dim=12, sliding_window=7, rms_norm_eps=1e-5,
            tie_word_embeddings=False, rope_parameters=YARN_ROPE,
        )
        return transformers.MistralForCausalLM(config)
    if name == "smollm3":
        # The last of four layers has no rope.
        config = transformers.SmolLM3Config(
            **{**COMMON, "num_hidden_layers": 4}, num_key_value_heads=2, rms_norm_eps=1e-6, tie_word_embeddings=True,
            rope_parameters=dict(rope_type="linear", rope_theta=100.0, factor=2.0),
        )
        return transformers.SmolLM3ForCausalLM(config)
    if name in ("phi3", "phi3_short"):
        # Three quarters of eight channels turn. 24 positions are beyond 16 original ones, but not beyond 32.
        original = 16 if name == "phi3" else 32
        config = transformers.Phi3Config(
            **COMMON, num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=name == "phi3_short",
            original_max_position_embeddings=original, sliding_window=None if name == "phi3" else 9,
            rope_parameters=dict(longrope, partial_rotary_factor=0.75, original_max_position_embeddings=original),
        )
        return transformers.Phi3ForCausalLM(config)
    if name == "gemma2":
        config = transformers.Gemma2Config(
            **COMMON, num_key_value_heads=2, head_dim=12, sliding_window=5, query_pre_attn_scalar=20,
            attn_logit_softcapping=3.0, final_logit_softcapping=4.0, rope_parameters=default_rope,
        )
        return transformers.Gemma2ForCausalLM(config)
    if name == "gemma3":
        config = transformers.Gemma3TextConfig(
            **{**COMMON, "num_hidden_layers": 3}, num_key_value_heads=2, head_dim=12, sliding_window=5,
            query_pre_attn_scalar=20, layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            rope_parameters=dict(
                full_attention=dict(rope_type="linear", rope_theta=400.0, factor=2.0),
                sliding_attention=dict(rope_type="default", rope_theta=20.0),
            ),
        )
        return transformers.Gemma3ForCausalLM(config)
    if name == "mixtral":
        config = transformers.MixtralConfig(
            **{**COMMON, "intermediate_size": 16}, num_key_value_heads=2, num_local_experts=4,
            num_experts_per_tok=2, sliding_window=9, tie_word_embeddings=False, rope_parameters=default_rope,
        )
        return transformers.MixtralForCausalLM(config)
    if name == "qwen2_moe":
        config = transformers.Qwen2MoeConfig(
            **COMMON, **MOE, num_key_value_heads=2, shared_expert_intermediate_size=24, norm_topk_prob=False,
            rope_parameters=default_rope,
        )
        return transformers.Qwen2MoeForCausalLM(config)
    if name == "qwen3_moe":
        # The first of three layers has no experts.
        config = transformers.Qwen3MoeConfig(
            **{**COMMON, "num_hidden_layers": 3}, **MOE, num_key_value_heads=2, head_dim=12, norm_topk_prob=True,
            mlp_only_layers=[0], rope_parameters=default_rope,
        )
        return transformers.Qwen3MoeForCausalLM(config)
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
    if name == "llama_dynamic":
        # 16 positions, so that 24 stretch the base.
        config = transformers.LlamaConfig(
            **{**COMMON, "max_position_embeddings": 16}, num_key_value_heads=2, tie_word_embeddings=True,
            rope_parameters=dict(rope_type="dynamic", rope_theta=100.0, factor=2.0),
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
            elif p.dim() == 1 and "Gemma" in type(model).__name__:
                p.copy_(torch.rand(p.shape, generator=generator) - 0.5)  # one is added
            elif p.dim() == 1:
                p.copy_(0.5 + torch.rand(p.shape, generator=generator))
            elif "embed" in name or "wte" in name or "wpe" in name:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.7)
            else:
                fan_in = p.shape[0] if isinstance(model, transformers.GPT2LMHeadModel) else p.shape[-1]
                p.copy_(torch.randn(p.shape, generator=generator) * 1.3 / fan_in**0.5)


def checkpoint_names(model, name, t):
    """A parameter, or its gradient, under the names a checkpoint gives it: experts are stored one by one."""
    mixtral = isinstance(model, transformers.MixtralForCausalLM)
    if mixtral:
        name = name.replace(".mlp.", ".block_sparse_moe.")
    stem, joined, part = name.partition(".experts.")
    if not joined:
        yield name, t
        return
    gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    for e, of_expert in enumerate(t):
        parts = of_expert.chunk(2) if part == "gate_up_proj" else [of_expert]
        for label, piece in zip((gate, up) if part == "gate_up_proj" else (down,), parts):
            yield f"{stem}.experts.{e}.{label}.weight", piece


def evaluate(model, input_ids):
    model.zero_grad()
    logits = model(input_ids=input_ids, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), input_ids[:, 1:].flatten())
    loss.backward()
    result = {"logits": logits.detach(), "loss": loss.detach()}
    for name, p in model.named_parameters():
        for stored, grad in checkpoint_names(model, name, p.grad):
            result["grad." + stored] = grad
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
    if hasattr(model.config, "num_experts_per_tok"):
        model.set_experts_implementation("eager")
    draw_parameters(model, seed)
    input_ids = torch.randint(0, 96, (BATCH, SEQUENCE), generator=torch.Generator().manual_seed(seed + 1000))
    expected = evaluate(model, input_ids)
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if name == "llama3_tied":
        old_style_config(folder)
    reopened = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                                 attn_implementation="eager").eval()
    if hasattr(model.config, "num_experts_per_tok"):
        reopened.set_experts_implementation("eager")
    again = evaluate(reopened, input_ids)
    for key, value in expected.items():
        assert torch.equal(value, again[key]), f"{name}: {key} differs after saving and loading"
    exact = evaluate(model.double(), input_ids)
    gradients = [k for k in exact if k.startswith("grad.")]
    global_norm = sum(exact[k].double().norm() ** 2 for k in gradients) ** 0.5
    worst = max(distance(expected[k], exact[k], 1e-6 * global_norm) for k in gradients)
    logits_error = distance(expected["logits"], exact["logits"], 0)
    assert logits_error < 2e-6 and worst < 2e-5, f"{name}: ill-conditioned, {logits_error:.1e} and {worst:.1e}"
    if name in LOGITS_ONLY:
        expected = {k: t for k, t in expected.items() if not k.startswith("grad.")}
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
    names = ["gpt2", "llama2", "llama3", "llama3_tied", "qwen2", "qwen3", "mistral", "smollm3", "phi3", "phi3_short",
             "gemma2", "gemma3", "mixtral", "qwen2_moe", "qwen3_moe", "llama_dynamic"]
    for seed, name in enumerate(names):
        make(name, seed, root)


if __name__ == "__main__":
    main()
