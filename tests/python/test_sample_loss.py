#!/usr/bin/env python3
"""The held-out loss of packed conversations is what transformers computes for each conversation alone.

Usage: test_sample_loss.py HOIST_BINARY     (needs torch and transformers)

A small random Qwen2 and a set of conversations: `hoist train` without a learning rate reports the loss of the held-out half, whose rows
hold several conversations. transformers gives each its logits and, by the template's generation marks, the mask of the assistant's
tokens. Both means agree to 1e-5.
"""

import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

import torch
import transformers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOKENIZER = ROOT / "tests" / "fixtures" / "tokenizers" / "qwen2.json"
PLAIN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
MARKED = (
    "{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content + '<|im_end|>' }}"
    "{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}"
)
TEMPLATE = "{% for m in messages %}BODY{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
WORDS = "the quick brown fox jumps over a lazy dog 1 22 333 Zwölf".split()


def conversations():
    random.seed(1)

    def say():
        return " ".join(random.choices(WORDS, k=random.randint(1, 6)))

    out = []
    for _ in range(40):
        turns = []
        for _ in range(random.randint(1, 3)):
            turns += [{"role": "user", "content": say()}, {"role": "assistant", "content": say()}]
        out.append(turns)
    return out


def expected(model, tokenizer, chats):
    total = count = 0.0
    for chat in chats:
        encoded = tokenizer.apply_chat_template(
            chat,
            chat_template=TEMPLATE.replace("BODY", MARKED),
            tokenize=True,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        ids, mask = torch.tensor([encoded["input_ids"]]), torch.tensor(encoded["assistant_masks"])
        with torch.no_grad():
            log_probabilities = model(ids).logits[0].log_softmax(-1)
        loss = -log_probabilities[:-1].gather(-1, ids[0, 1:, None])[:, 0]
        total += float((loss * mask[1:]).sum())
        count += float(mask[1:].sum())
    return total / count


def main():
    hoist = sys.argv[1]
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        config = transformers.Qwen2Config(
            vocab_size=705,
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=96,
            max_position_embeddings=256,
            tie_word_embeddings=False,
            eos_token_id=702,
            bos_token_id=None,
            initializer_range=0.3,
        )
        model = transformers.Qwen2ForCausalLM(config).float().eval()
        model.save_pretrained(root / "model")
        shutil.copy(TOKENIZER, root / "model" / "tokenizer.json")
        (root / "model" / "chat_template.jinja").write_text(TEMPLATE.replace("BODY", PLAIN))
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(TOKENIZER))
        chats = conversations()
        (root / "chats.jsonl").write_text("".join(json.dumps({"messages": c}) + "\n" for c in chats))
        overrides = ["format=messages", "validation=0.5", "seq=160", "batch=2", "steps=1", "lr=0.0", "min_lr=0.0"]
        overrides += [f"model.from={root / 'model'}", f"output.folder={root / 'run'}"]
        recipe = root / "recipe.toml"
        recipe.write_text(f'[data]\npaths = ["{root / "chats.jsonl"}"]\n')
        subprocess.run([hoist, "train", str(recipe), *overrides], check=True, stderr=subprocess.DEVNULL)
        last = json.loads((root / "run" / "metrics.jsonl").read_text().splitlines()[-1])
        want = expected(model, tokenizer, chats[1::2])  # every second one is held out
    print(f"held-out loss {last['loss']:.7f}, transformers {want:.7f}")
    if abs(last["loss"] - want) > 1e-5 * want:
        sys.exit("the losses differ")


if __name__ == "__main__":
    main()
