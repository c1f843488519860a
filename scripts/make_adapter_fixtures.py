#!/usr/bin/env python3
"""Makes tests/fixtures/adapters: LoRA adapters of the tiny parity models, as PEFT saves them, with their logits.

Usage: make_adapter_fixtures.py [OUTPUT_FOLDER]      (needs torch, transformers, peft, safetensors)

Each folder is what PeftModel.save_pretrained writes (adapter_config.json, adapter_model.safetensors), and
expected.safetensors: input_ids int64 [1, sequence], logits float32 [sequence, vocabulary] of the model with the
adapter. Seeds are fixed; both matrices of each pair are random, so that the adapter changes the logits much.
"""

import json
import pathlib
import shutil
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"
SEQUENCE = 20

# name: model, and LoraConfig's arguments
ADAPTERS = {
    "llama3_attention": ("llama3", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])),
    "llama3_all": ("llama3", dict(r=3, lora_alpha=5, use_rslora=True, target_modules="all-linear")),
    "qwen2_all": ("qwen2", dict(r=8, lora_alpha=16, target_modules="all-linear")),
    "gpt2_joined": ("gpt2", dict(r=4, lora_alpha=4, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True)),
}


def make(name, folder):
    base, options = ADAPTERS[name]
    model = transformers.AutoModelForCausalLM.from_pretrained(FIXTURES / "parity" / base, dtype=torch.float32)
    torch.manual_seed(len(name))
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **options)).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "lora_" in parameter_name:
                parameter.normal_(0, 0.2)
        ids = torch.randint(0, model.config.vocab_size, (1, SEQUENCE))
        logits = model(ids).logits[0]
        with model.disable_adapter():
            plain = model(ids).logits[0]
    assert (logits - plain).norm() > 0.1 * plain.norm(), f"{name}: the adapter hardly changes the logits"
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    # PEFT writes where the base model lay; a fixture names it as the repository does.
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = base
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file({"input_ids": ids, "logits": logits.contiguous()}, folder / "expected.safetensors")
    print(f"{name}: {len(tensors)} tensors, logits {tuple(logits.shape)}")


def main():
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FIXTURES / "adapters"
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in ADAPTERS:
        make(name, out / name)


if __name__ == "__main__":
    main()
