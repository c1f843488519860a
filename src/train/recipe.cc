#include "train/recipe.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "base/bytes.h"
#include "base/error.h"
#include "io/files.h"

namespace hoist::train {

namespace {

constexpr double kBig = 1e18;

// Calls v(section, key, field, low, high, meaning) for every key, and v.words(...) for a string of fixed
// choices.
template <class R, class V>
void fields(R& r, V& v) {
  v.words("model", "task", r.task, "text|digits",
          "what is trained: a language model, or an image classifier of synthetic digits");
  v("model", "from", r.from, "a model folder to start from; empty: fresh weights of the shape below");
  v.words("model", "family", r.family, "llama|gpt2|qwen2|qwen3", "architecture of a fresh model");
  v("model", "hidden", r.hidden, 1, 1 << 20, "width");
  v("model", "layers", r.layers, 1, 4096, "transformer blocks");
  v("model", "heads", r.heads, 1, 4096, "query heads");
  v("model", "kv_heads", r.kv_heads, 0, 4096, "key and value heads; 0: as many as heads");
  v("model", "intermediate", r.intermediate, 0, 1 << 22,
    "width of the MLP; 0: 4 x hidden (gpt2), 8/3 x hidden rounded up to 32 (others)");
  v("model", "context", r.context, 2, 1 << 22, "longest sequence");
  v("model", "tie", r.tie, "the head shares the embedding's weights");
  v("model", "biases", r.biases, "train the biases the family has (false: they stay zero)");
  v("model", "init_std", r.init_std, 0.0, 10.0, "standard deviation of fresh weights");
  v("data", "paths", r.paths, "text files, .jsonl files, folders or globs such as \"src/**/*.cc\"");
  v.words("data", "format", r.format, "documents|auto|text|prompt_completion|messages|sharegpt|alpaca",
          "documents: one long text; else samples (.jsonl, .json, .zst after it); auto: told by keys");
  v("data", "weights", r.weights, "samples: how often each of paths is drawn; empty: by its size");
  v("data", "pack", r.pack, "samples: several in a row, where they do not see each other");
  v("data", "chat_template", r.chat_template, "samples: a Jinja file instead of the model's own template");
  v("data", "field", r.field, "the text field of .jsonl lines");
  v("data", "tokenizer", r.tokenizer,
    "bpe (trained here), char, or a folder with tokenizer.json; ignored with model.from");
  v("data", "vocab", r.vocab, 2, 1 << 20, "tokens of a trained bpe tokenizer");
  v("data", "validation", r.validation, 0.0, 0.5, "share of the text held out, from the end");
  v.words("data", "sampling", r.sampling, "epoch|random",
          "epoch: each window once per epoch; random: windows start anywhere");
  v("data", "max_bytes", r.max_bytes, 1, int64_t{1} << 50, "read at most this much text");
  v("images", "maps", r.maps, 1, 1024, "feature maps of the first block (digits)");
  v("images", "pictures", r.pictures, 1, 1 << 20, "pictures to train on (digits)");
  v("images", "held_out", r.held_out, 1, 1 << 20, "pictures to measure accuracy with (digits)");
  v("train", "steps", r.steps, 1, int64_t{1} << 40, "optimizer steps");
  v("train", "batch", r.batch, 1, 1 << 20, "sequences per micro-batch, over all ranks");
  v("train", "seq", r.seq, 0, 1 << 22, "tokens per sequence; 0: model.context");
  v("train", "accumulate", r.accumulate, 1, 1 << 20, "micro-batches per step");
  v("train", "lr", r.lr, 0.0, 1e3, "largest learning rate");
  v("train", "min_lr", r.min_lr, -1.0, 1e3,
    "learning rate of the last step; -1: lr / 10 (inverse_sqrt: no bound)");
  v("train", "warmup", r.warmup, 0, int64_t{1} << 40, "steps of linear warm-up");
  v.words("train", "schedule", r.schedule, "cosine|linear|wsd|inverse_sqrt|constant",
          "learning rate after the warm-up");
  v("train", "cooldown", r.cooldown, 0.0, 1.0, "share of all steps in which wsd comes down to min_lr");
  v.words("train", "optimizer", r.optimizer, "adamw|sgd|lion|lamb|adafactor|muon",
          "muon: matrices between layers, adamw for the rest");
  v.words("train", "states", r.states, "f32|bf16|8bit",
          "storage of moments; 8bit: blocks of 256 with a scale each");
  v("train", "beta1", r.beta1, 0.0, 0.999999, "adamw, lamb, lion");
  v("train", "beta2", r.beta2, 0.0, 0.999999, "adamw, lamb, lion");
  v("train", "eps", r.eps, 0.0, 1.0, "adamw, lamb");
  v("train", "momentum", r.momentum, -1.0, 0.999999, "sgd, muon; -1: 0.9 (sgd), 0.95 (muon)");
  v("train", "nesterov", r.nesterov, "sgd, muon: look one step of momentum ahead");
  v.words("train", "muon_scale", r.muon_scale, "rms|plain",
          "length of muon's steps: as adamw's, or sqrt(max(1, rows / columns))");
  v("train", "decay", r.decay, 0.0, 10.0,
    "weight decay of matrices and embeddings, never of norms and biases; decoupled (sgd: L2)");
  v("train", "layer_decay", r.layer_decay, 0.01, 1.0, "learning rate of a block relative to the next one");
  v("train", "clip", r.clip, 0.0, kBig, "largest global norm of the gradient; 0: no clipping");
  v.words("train", "precision", r.precision, "f32|bf16",
          "storage of parameters and activations; bf16 keeps f32 masters");
  v("train", "loss_scale", r.loss_scale,
    "bf16: scale the loss up, by as much as gradients allow, and skip steps that overflow");
  v("train", "ema", r.ema, 0.0, 0.9999999,
    "also average the weights with this decay a step, into the folder model-ema; 0: no");
  v("train", "ema_evaluate", r.ema_evaluate, "held-out loss is that of the averaged weights");
  v("train", "patience", r.patience, 0, 1 << 20,
    "end after this many evaluations without a lower held-out loss; 0: never");
  v("train", "seed", r.seed, 0, INT64_MAX, "of weights and of data order");
  v("train", "max_seconds", r.max_seconds, 0.0, kBig,
    "stop after this much training time, as if steps had been reached; 0: never");
  v("train", "eval_every", r.eval_every, 0, int64_t{1} << 40,
    "steps between evaluations; 0: only at the end");
  v("train", "eval_batches", r.eval_batches, 0, 1 << 30,
    "batches of an evaluation under way; 0: the whole held-out text (as at the end)");
  v("train", "threads", r.threads, 0, 4096, "threads of a rank; 0: one per core, shared among ranks");
  v("memory", "budget", r.budget,
    "what the process keeps to, such as \"2GiB\"; what does not fit moves to disk and back; empty: no limit");
  v("memory", "disk_folder", r.disk_folder, "where its file without a name lies; empty: output.folder");
  v("parallel", "data", r.data, 1, 1024, "ranks that split the batch");
  v("parallel", "tensor", r.tensor, 1, 1024, "ranks that split heads, MLP and vocabulary");
  v("parallel", "strategy", r.strategy, "a strategy file (TOML) instead of the two above");
  v("output", "folder", r.folder, "where checkpoints, metrics.jsonl, report.html and the model go");
  v("output", "checkpoint_every", r.checkpoint_every, 0, int64_t{1} << 40,
    "steps between checkpoints; 0: only at the end");
  v("output", "keep", r.keep, 1, 1000, "checkpoints kept");
  v("output", "log_every", r.log_every, 1, 1 << 20, "steps between lines of metrics.jsonl");
}

std::string number(double x) {
  char buffer[32];
  auto r = std::to_chars(buffer, buffer + sizeof buffer, x);
  std::string text(buffer, r.ptr);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string quoted(const std::string& s) {
  std::string out = "\"";
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

struct Printer {
  std::string out, section;
  bool help = false;
  void key(const char* s, const char* k, const std::string& value, const std::string& meaning) {
    if (section != s) {
      out += (section.empty() ? "[" : "\n[") + std::string(s) + "]\n";
      section = s;
    }
    std::string line = std::string(k) + " = " + value;
    if (help) line += std::string(line.size() < 34 ? 34 - line.size() : 1, ' ') + "# " + meaning;
    out += line + "\n";
  }
  void operator()(const char* s, const char* k, const std::string& x, const char* m) {
    key(s, k, quoted(x), m);
  }
  void operator()(const char* s, const char* k, const std::vector<std::string>& x, const char* m) {
    std::string list = "[";
    for (size_t i = 0; i < x.size(); ++i) list += (i ? ", " : "") + quoted(x[i]);
    key(s, k, list + "]", m);
  }
  void operator()(const char* s, const char* k, const std::vector<double>& x, const char* m) {
    std::string list = "[";
    for (size_t i = 0; i < x.size(); ++i) list += (i ? ", " : "") + number(x[i]);
    key(s, k, list + "]", m);
  }
  void operator()(const char* s, const char* k, bool x, const char* m) { key(s, k, x ? "true" : "false", m); }
  void operator()(const char* s, const char* k, int64_t x, int64_t, int64_t, const char* m) {
    key(s, k, std::to_string(x), m);
  }
  void operator()(const char* s, const char* k, double x, double, double, const char* m) {
    key(s, k, number(x), m);
  }
  void words(const char* s, const char* k, const std::string& x, const char* choices, const char* m) {
    key(s, k, quoted(x), std::string(m) + " (" + choices + ")");
  }
};

struct Reader {
  const toml::table& root;
  const std::string& source;
  std::vector<std::pair<std::string, std::string>> seen;  // section, key

  [[noreturn]] void fail(const toml::node& node, const char* s, const char* k,
                         const std::string& expected) const {
    std::string where = source;
    if (node.source().begin.line) where += ":" + std::to_string(node.source().begin.line);
    throw_invalid(where + ": " + s + "." + k + ": expected " + expected);
  }
  const toml::node* find(const char* s, const char* k) {
    seen.emplace_back(s, k);
    const toml::table* section = root[s].as_table();
    return section ? section->get(k) : nullptr;
  }
  void operator()(const char* s, const char* k, std::string& x, const char*) {
    if (const toml::node* n = find(s, k)) {
      auto v = n->value_exact<std::string>();
      if (!v) fail(*n, s, k, "text in quotes");
      x = *v;
    }
  }
  void operator()(const char* s, const char* k, std::vector<std::string>& x, const char*) {
    const toml::node* n = find(s, k);
    if (!n) return;
    x.clear();
    if (auto one = n->value_exact<std::string>()) {
      x.push_back(*one);
      return;
    }
    const toml::array* list = n->as_array();
    if (!list) fail(*n, s, k, "a list of texts in quotes");
    for (const toml::node& item : *list) {
      auto v = item.value_exact<std::string>();
      if (!v) fail(item, s, k, "a list of texts in quotes");
      x.push_back(*v);
    }
  }
  void operator()(const char* s, const char* k, std::vector<double>& x, const char*) {
    const toml::node* n = find(s, k);
    if (!n) return;
    x.clear();
    const toml::array* list = n->as_array();
    if (!list) fail(*n, s, k, "a list of numbers above 0");
    for (const toml::node& item : *list) {
      const auto v = item.value<double>();
      if (!item.is_number() || !v || !(*v > 0 && *v <= kBig)) fail(item, s, k, "a list of numbers above 0");
      x.push_back(*v);
    }
  }
  void operator()(const char* s, const char* k, bool& x, const char*) {
    if (const toml::node* n = find(s, k)) {
      auto v = n->value_exact<bool>();
      if (!v) fail(*n, s, k, "true or false");
      x = *v;
    }
  }
  void operator()(const char* s, const char* k, int64_t& x, int64_t low, int64_t high, const char*) {
    if (const toml::node* n = find(s, k)) {
      auto v = n->value_exact<int64_t>();
      if (!v || *v < low || *v > high)
        fail(*n, s, k, "an integer from " + std::to_string(low) + " to " + std::to_string(high));
      x = *v;
    }
  }
  void operator()(const char* s, const char* k, double& x, double low, double high, const char*) {
    if (const toml::node* n = find(s, k)) {
      auto v = n->value<double>();
      if (!n->is_number() || !v || !(*v >= low && *v <= high))
        fail(*n, s, k, "a number from " + number(low) + " to " + number(high));
      x = *v;
    }
  }
  void words(const char* s, const char* k, std::string& x, const char* choices, const char* meaning) {
    (*this)(s, k, x, meaning);
    std::string_view rest = choices;
    while (!rest.empty()) {
      size_t bar = rest.find('|');
      if (rest.substr(0, bar) == x) return;
      rest = bar == std::string_view::npos ? "" : rest.substr(bar + 1);
    }
    fail(*root[s].as_table()->get(k), s, k, std::string("one of ") + choices + ", found '" + x + "'");
  }
  void reject_unknown() const {
    for (auto&& [section, node] : root) {
      const toml::table* table = node.as_table();
      bool known = std::any_of(seen.begin(), seen.end(), [&](auto& p) { return p.first == section.str(); });
      if (!table || !known)
        throw_invalid(source + ":" + std::to_string(node.source().begin.line) + ": unknown section '" +
                      std::string(section.str()) + "'");
      for (auto&& [key, value] : *table)
        if (std::find(seen.begin(), seen.end(),
                      std::pair(std::string(section.str()), std::string(key.str()))) == seen.end())
          throw_invalid(source + ":" + std::to_string(value.source().begin.line) + ": unknown key '" +
                        std::string(section.str()) + "." + std::string(key.str()) +
                        "'; `hoist train --keys` lists all");
    }
  }
};

struct KeyList {
  std::vector<std::pair<std::string, std::string>> keys;
  std::vector<bool> text;
  template <class X, class... Rest>
  void operator()(const char* s, const char* k, X&, Rest...) {
    keys.emplace_back(s, k);
    text.push_back(std::is_same_v<std::remove_const_t<X>, std::string>);
  }
  void words(const char* s, const char* k, const std::string&, const char*, const char*) {
    keys.emplace_back(s, k);
    text.push_back(true);
  }
};

// "lr=1e-3" or "train.lr=1e-3" into the table. Texts need no quotes.
void apply_override(toml::table& root, const std::string& text) {
  size_t equals = text.find('=');
  if (equals == std::string::npos) throw_invalid("'" + text + "': expected key=value");
  std::string name = text.substr(0, equals), value = text.substr(equals + 1);
  KeyList list;
  Recipe defaults;
  fields(defaults, list);
  int found = -1, count = 0;
  for (size_t i = 0; i < list.keys.size(); ++i) {
    const auto& [s, k] = list.keys[i];
    if (name == s + "." + k) {
      found = static_cast<int>(i);
      count = 1;
      break;
    }
    if (name == k) {
      found = static_cast<int>(i);
      ++count;
    }
  }
  if (count == 0) throw_invalid("'" + text + "': no such key; `hoist train --keys` lists all");
  if (count > 1) throw_invalid("'" + text + "': several sections have this key; write section.key=value");
  const auto& [s, k] = list.keys[static_cast<size_t>(found)];
  bool bare = list.text[static_cast<size_t>(found)] && !(value.size() >= 2 && value.front() == '"');
  if (k == "paths" && !value.starts_with("[")) bare = true;
  toml::table parsed;
  try {
    parsed = toml::parse("x = " + (bare ? quoted(value) : value));
  } catch (const toml::parse_error& e) {
    throw_invalid("'" + text + "': " + std::string(e.description()));
  }
  if (!root[s].as_table()) root.insert_or_assign(s, toml::table{});
  toml::table& section = *root[s].as_table();
  parsed.get("x")->visit([&](auto& node) { section.insert_or_assign(k, node); });
}

}  // namespace

double Recipe::learning_rate(int64_t step) const {
  if (step < warmup) return lr * static_cast<double>(step + 1) / static_cast<double>(warmup + 1);
  if (schedule == "constant") return lr;
  const double low = min_lr < 0 ? lr / 10 : min_lr;
  if (schedule == "inverse_sqrt") {
    const double now = lr * std::sqrt(static_cast<double>(warmup + 1) / static_cast<double>(step + 1));
    return min_lr < 0 ? now : std::max(now, std::min(lr, min_lr));
  }
  if (step >= steps) return low;
  int64_t from = warmup;
  if (schedule == "wsd")
    from = std::max(from, steps - static_cast<int64_t>(std::llround(cooldown * static_cast<double>(steps))));
  if (step < from) return lr;
  const double done =
      static_cast<double>(step - from) / static_cast<double>(std::max<int64_t>(1, steps - from));
  if (schedule != "cosine") return lr + done * (low - lr);
  return low + 0.5 * (1 + std::cos(3.14159265358979323846 * done)) * (lr - low);
}

int64_t Recipe::memory() const { return budget.empty() ? 0 : parse_bytes(budget, "memory.budget"); }

Recipe parse_recipe(std::string_view text, const std::string& source,
                    const std::vector<std::string>& overrides) {
  toml::table root;
  try {
    root = toml::parse(text, source);
  } catch (const toml::parse_error& e) {
    throw_invalid(source + ":" + std::to_string(e.source().begin.line) + ": " + std::string(e.description()));
  }
  for (const std::string& o : overrides) apply_override(root, o);
  Recipe r;
  Reader reader{root, source, {}};
  fields(r, reader);
  reader.reject_unknown();
  if (r.task == "text" && r.paths.empty())
    throw_invalid(source + ": data.paths: found none, expected a file, a folder or a glob");
  r.memory();
  if (r.format != "documents" && r.from.empty() && (r.tokenizer == "bpe" || r.tokenizer == "char"))
    throw_invalid(source + ": data.format: found " + r.format +
                  ", expected documents without model.from or a tokenizer's folder in data.tokenizer");
  if (r.patience > 0 && (r.validation == 0 || r.eval_every == 0))
    throw_invalid(source + ": train.patience: found " + std::to_string(r.patience) +
                  ", expected 0 without data.validation or train.eval_every");
  if (r.ema_evaluate && r.ema == 0)
    throw_invalid(source + ": train.ema_evaluate: found true, expected false without train.ema");
  if (r.from.empty() && r.sequence() > r.context)
    throw_invalid(source + ": train.seq: found " + std::to_string(r.seq) +
                  ", expected at most model.context = " + std::to_string(r.context));
  return r;
}

Recipe load_recipe(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_recipe(io::read_file(path, 1 << 20), path, overrides);
}

std::string print(const Recipe& recipe) {
  Printer p;
  fields(recipe, p);
  return p.out;
}

std::string recipe_help() {
  Printer p;
  p.help = true;
  Recipe defaults;
  fields(defaults, p);
  return p.out;
}

std::string resume_key(const Recipe& recipe) {
  // What may change between a run and its continuation: where it writes, how often it looks, how long it goes
  // on in wall time, and threads (bits do not depend on them).
  Recipe r = recipe, d;
  r.folder = d.folder;
  r.checkpoint_every = d.checkpoint_every;
  r.keep = d.keep;
  r.log_every = d.log_every;
  r.eval_every = d.eval_every;
  r.eval_batches = d.eval_batches;
  r.threads = d.threads;
  r.budget = d.budget;
  r.disk_folder = d.disk_folder;
  r.max_seconds = d.max_seconds;
  r.patience = d.patience;
  r.ema_evaluate = d.ema_evaluate;
  r.data = d.data;
  r.tensor = d.tensor;
  r.strategy = d.strategy;
  return print(r);
}

}  // namespace hoist::train
