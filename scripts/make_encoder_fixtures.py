#!/usr/bin/env python3
"""Makes tests/fixtures/encoders: tiny random encoders with what transformers computes of some sequences.

Usage: make_encoder_fixtures.py [OUTPUT_FOLDER]      (needs torch, transformers, tokenizers, safetensors)

Each folder is a model folder (config.json, model.safetensors as save_pretrained writes them, tokenizer.json) with
expected.safetensors:
  lengths   int64   [sequences]
  ids       int64   [all tokens], sequence after sequence
  types     int64   [all tokens]
  cls, mean float32 [sequences, hidden]   the first token's last hidden state; the mean over the sequence's tokens
  logits    float32 [sequences, labels]   of models with a head
Folders `sentence` and `cross` also hold texts.json, what a user would send, with the answer: unit-length mean vectors of
texts, and the score of each pair. Every parameter is random and large enough that a wrong position, type, scale or bias
shows. Seeds are fixed; attention is transformers' eager one, float32 on one thread. A float64 run of the same model
bounds what rounding alone may cost.
"""
import json
import pathlib
import sys

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

LENGTHS = [5, 1, 17, 33, 2, 64, 9, 30]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "cat", "dog", "sat", "on", "mat", "rain", "falls", "in", "spain", "##s", "##ing", "##ed"]
BERT = dict(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=96,
            max_position_embeddings=66, pad_token_id=0, attn_implementation="eager")
DISTIL = dict(dim=32, hidden_dim=48, n_layers=2, n_heads=4, vocab_size=96, max_position_embeddings=66, pad_token_id=0,
              attn_implementation="eager")
ROBERTA = dict(BERT, pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1)


def tokenizer(roberta):
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    vocab = {t: i for i, t in enumerate(SPECIAL + WORDS + letters + ["##" + c for c in letters])}
    t = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    ends = ("[SEP]", 3), ("[CLS]", 2)
    t.post_processor = processors.RobertaProcessing(*ends) if roberta else processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    t.add_special_tokens(SPECIAL)
    return t


def randomize(model, seed):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.3 if p.dim() > 1 else 0.2
            p.copy_(torch.randn(p.shape, generator=g) * scale + (1.0 if "LayerNorm.weight" in name or "layer_norm.weight" in name else 0.0))


def run(model, ids, types):
    kinds = {"token_type_ids": torch.tensor([types])} if getattr(model.config, "type_vocab_size", 0) > 1 else {}
    out = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                output_hidden_states=True, **kinds)
    hidden = out.hidden_states[-1][0]
    logits = out.logits[0] if hasattr(out, "logits") else None
    return hidden[0], hidden.mean(0), logits


def make(folder, model, seed, sentence=False, cross=False):
    model.eval()
    randomize(model, seed)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    roberta = "roberta" in model.config.model_type
    t = tokenizer(roberta)
    t.save(str(folder / "tokenizer.json"), pretty=False)
    g = torch.Generator().manual_seed(seed + 1)
    out = {"lengths": torch.tensor(LENGTHS), "ids": [], "types": [], "cls": [], "mean": [], "logits": []}
    double = None
    with torch.no_grad():
        for n in LENGTHS:
            ids = torch.randint(5, 90, (n,), generator=g).tolist()
            types = [0] * (n // 2) + [1] * (n - n // 2) if getattr(model.config, "type_vocab_size", 0) > 1 else [0] * n
            cls, mean, logits = run(model, ids, types)
            out["ids"] += ids
            out["types"] += types
            out["cls"].append(cls)
            out["mean"].append(mean)
            if logits is not None:
                out["logits"].append(logits)
        texts = ["The cat sat on the mat.", "rain falls in Spain", "", "dogs", "the dog sat"]
        if sentence:
            vectors = []
            for text in texts:
                mean = run(model, *[(e.ids, e.type_ids) for e in [t.encode(text)]][0])[1]
                vectors.append((mean / mean.norm()).tolist())
            (folder / "texts.json").write_text(json.dumps({"texts": texts, "vectors": vectors}))
            (folder / "modules.json").write_text(json.dumps([
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]))
            (folder / "1_Pooling").mkdir(exist_ok=True)
            (folder / "1_Pooling" / "config.json").write_text(json.dumps({
                "word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}))
            (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 60, "do_lower_case": False}))
        if cross:
            scores = []
            for text in texts:
                e = t.encode(texts[0], text)
                scores.append(run(model, e.ids, e.type_ids)[2].tolist())
            (folder / "texts.json").write_text(json.dumps({"query": texts[0], "texts": texts, "scores": scores}))
        # float64, to know what float32 alone may cost
        wide = model.double()
        at = 0
        worst = 0.0
        for i, n in enumerate(LENGTHS):
            double = run(wide, out["ids"][at:at + n], out["types"][at:at + n])[1]
            worst = max(worst, ((out["mean"][i].double() - double).norm() / double.norm()).item())
            at += n
        assert worst < 2e-6, worst
    save = {"lengths": out["lengths"], "ids": torch.tensor(out["ids"]), "types": torch.tensor(out["types"]),
            "cls": torch.stack(out["cls"]).float(), "mean": torch.stack(out["mean"]).float()}
    if out["logits"]:
        save["logits"] = torch.stack(out["logits"]).float()
    save_file({k: v.contiguous() for k, v in save.items()}, str(folder / "expected.safetensors"))
    print("%-12s float32 costs %.1e" % (folder.name, worst))


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent / "tests/fixtures/encoders")
    torch.set_num_threads(1)
    T = transformers
    torch.manual_seed(0)
    make(root / "sentence", T.BertModel(T.BertConfig(**BERT)), 1, sentence=True)
    make(root / "bert", T.BertForSequenceClassification(T.BertConfig(**BERT, num_labels=3, hidden_act="gelu_new")), 2)
    make(root / "cross", T.BertForSequenceClassification(T.BertConfig(**BERT, num_labels=1)), 3, cross=True)
    make(root / "roberta", T.RobertaForSequenceClassification(T.RobertaConfig(**ROBERTA, num_labels=2)), 4)
    make(root / "xlm-roberta", T.XLMRobertaModel(T.XLMRobertaConfig(**ROBERTA)), 5)
    make(root / "distilbert", T.DistilBertForSequenceClassification(T.DistilBertConfig(**DISTIL, num_labels=2)), 6)


if __name__ == "__main__":
    main()
