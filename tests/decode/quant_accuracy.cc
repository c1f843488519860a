// What a weight format costs: logits of a GPT-2 with random weights in every format, through the engine that
// serves, against plain float64 loops over the same weights; and the perplexity of text that the f32 model
// wrote.
//
// Usage: quant_accuracy [--small] [--json] [FORMAT ...]      (default: GPT-2 124M's shape; f32 bf16 q8_0 q4_0
// q4_k) Exits with 1 when q8_0 moves the perplexity by more than half a percent of f32's. (Its logits cannot
// be that near: rounding bell-shaped weights to q8_0 alone moves every product by 0.55 %.)
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "base/threads.h"
#include "decode/engine.h"
#include "decode/quantize.h"
#include "io/files.h"
#include "io/safetensors.h"

namespace hoist::decode {
namespace {

using Vector = std::vector<double>;

// Draws the weights as GPT-2 draws them before training, but norms and biases too, so that none is a
// bystander.
void write_model(const std::string& folder, const io::ModelConfig& config) {
  io::make_dirs(folder);
  io::atomic_write(io::join_path(folder, "config.json"), io::write_model_config(config));
  std::string vocab;
  for (int i = 0; i < 26; ++i)
    vocab += std::string(i ? ",\"" : "\"") + static_cast<char>('a' + i) + "\":" + std::to_string(i);
  io::atomic_write(
      io::join_path(folder, "tokenizer.json"),
      R"({"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":null,"post_processor":null,
                       "decoder":{"type":"Fuse"},"model":{"type":"BPE","vocab":{)" +
          vocab + R"(},"merges":[]}})");
  std::vector<io::TensorSpec> specs;
  std::map<std::string, models::Init> inits;
  for (const models::Parameter& p : models::parameters(config, DType::f32, DType::f32))
    if (inits.emplace(p.tensor, p.init).second) specs.push_back({p.tensor, DType::f32, p.shape});
  io::SafetensorsWriter writer(io::join_path(folder, "model.safetensors"), specs);
  for (const io::TensorInfo& info : writer.tensors()) {
    const models::Init& init = inits.at(info.name);
    const CounterRng rng(2026, stable_hash(info.name));
    std::vector<float> x(static_cast<size_t>(info.elements()));
    for (size_t i = 0; i < x.size(); ++i) {
      const double n = rng.normal(i);
      x[i] = static_cast<float>(init.kind == models::Init::Kind::kOnes    ? 1 + 0.1 * n
                                : init.kind == models::Init::Kind::kZeros ? 0.02 * n
                                                                          : init.std * n);
    }
    writer.write(info.name, x.data(), info.elements() * 4);
  }
  writer.finish();
}

// GPT-2 in float64, written from its definition: one row of logits for each token.
class Exact {
 public:
  explicit Exact(const Model& model) : c_(model.config), files_(*model.files) {}

  std::vector<Vector> logits(const std::vector<int32_t>& ids) const {
    const auto t = static_cast<int64_t>(ids.size()), h = c_.hidden;
    const std::vector<float> wte = read("transformer.wte.weight"), wpe = read("transformer.wpe.weight");
    std::vector<Vector> x;
    for (int64_t p = 0; p < t; ++p) {
      Vector row(static_cast<size_t>(h));
      for (int64_t i = 0; i < h; ++i)
        row[static_cast<size_t>(i)] = double{wte[static_cast<size_t>(ids[static_cast<size_t>(p)] * h + i)]} +
                                      double{wpe[static_cast<size_t>(p * h + i)]};
      x.push_back(std::move(row));
    }
    for (int64_t layer = 0; layer < c_.layers; ++layer)
      block("transformer.h." + std::to_string(layer) + ".", x);
    norm("transformer.ln_f", x);
    std::vector<Vector> out;
    for (const Vector& row : x) {
      Vector y(static_cast<size_t>(c_.vocab));
      for (int64_t v = 0; v < c_.vocab; ++v) {
        double sum = 0;
        for (int64_t i = 0; i < h; ++i)
          sum += row[static_cast<size_t>(i)] * wte[static_cast<size_t>(v * h + i)];
        y[static_cast<size_t>(v)] = sum;
      }
      out.push_back(std::move(y));
    }
    return out;
  }

 private:
  std::vector<float> read(const std::string& name) const {
    std::vector<float> out(static_cast<size_t>(files_.at(name).info->elements()));
    files_.read_as(name, DType::f32, out.data(), 0, static_cast<int64_t>(out.size()));
    return out;
  }

  void norm(const std::string& name, std::vector<Vector>& x) const {
    const std::vector<float> w = read(name + ".weight"), b = read(name + ".bias");
    for (Vector& row : x) {
      double mean = 0, square = 0;
      for (double v : row) mean += v / static_cast<double>(row.size());
      for (double v : row) square += (v - mean) * (v - mean) / static_cast<double>(row.size());
      for (size_t i = 0; i < row.size(); ++i)
        row[i] = (row[i] - mean) / std::sqrt(square + c_.norm_eps) * w[i] + b[i];
    }
  }

  std::vector<Vector> linear(const std::string& name, const std::vector<Vector>& x) const {
    const std::vector<float> w = read(name + ".weight"), b = read(name + ".bias");
    std::vector<Vector> out;
    for (const Vector& row : x) {
      Vector y(b.begin(), b.end());
      for (size_t i = 0; i < row.size(); ++i)
        for (size_t o = 0; o < y.size(); ++o) y[o] += row[i] * w[i * y.size() + o];
      out.push_back(std::move(y));
    }
    return out;
  }

  void block(const std::string& l, std::vector<Vector>& x) const {
    const auto h = static_cast<size_t>(c_.hidden), d = static_cast<size_t>(c_.head_dim);
    std::vector<Vector> y = x;
    norm(l + "ln_1", y);
    const std::vector<Vector> qkv = linear(l + "attn.c_attn", y);
    for (size_t t = 0; t < x.size(); ++t) {
      Vector o(h);
      for (size_t head = 0; head < h; head += d) {
        Vector p(t + 1);
        double total = 0;
        for (size_t s = 0; s <= t; ++s) {
          double score = 0;
          for (size_t i = 0; i < d; ++i) score += qkv[t][head + i] * qkv[s][h + head + i];
          total += p[s] = std::exp(score / std::sqrt(static_cast<double>(d)));
        }
        for (size_t s = 0; s <= t; ++s)
          for (size_t i = 0; i < d; ++i) o[head + i] += p[s] / total * qkv[s][2 * h + head + i];
      }
      y[t] = std::move(o);
    }
    add(x, linear(l + "attn.c_proj", y));
    y = x;
    norm(l + "ln_2", y);
    y = linear(l + "mlp.c_fc", y);
    for (Vector& row : y)
      for (double& v : row)
        v = 0.5 * v * (1 + std::tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v)));
    add(x, linear(l + "mlp.c_proj", y));
  }

  static void add(std::vector<Vector>& x, const std::vector<Vector>& y) {
    for (size_t t = 0; t < x.size(); ++t)
      for (size_t i = 0; i < x[t].size(); ++i) x[t][i] += y[t][i];
  }

  const io::ModelConfig& c_;
  const io::CheckpointFiles& files_;
};

EngineOptions engine_options(int64_t context) {
  EngineOptions options;
  options.max_seqs = 16;
  options.context = context;
  options.cache_tokens = 16 * context;
  return options;
}

// `count` tokens drawn from the model after one to begin with.
std::vector<int32_t> written_by(const Model& model, int64_t count) {
  Engine engine(model, engine_options(count + 2));
  SequenceRequest request;
  request.prompt = {7};
  request.sampling.temperature = 1;
  request.sampling.seed = 5;
  request.max_tokens = count;
  request.ignore_eos = true;
  std::vector<int32_t> ids = request.prompt;
  engine.add(std::move(request));
  std::vector<TokenEvent> events;
  for (bool done = false; !done;) {
    events.clear();
    engine.step(events);
    for (const TokenEvent& e : events) {
      if (e.token != kNoToken) ids.push_back(e.token);
      done = done || e.finish != Finish::kNone;
    }
  }
  return ids;
}

// The engine's logits after each prefix of `ids`.
std::vector<std::vector<float>> engine_logits(const Model& model, const std::vector<int32_t>& ids) {
  Engine engine(model, engine_options(static_cast<int64_t>(ids.size()) + 2));
  std::vector<std::vector<float>> out(ids.size());
  for (size_t n = 1; n <= ids.size(); ++n) {
    SequenceRequest request;
    request.prompt.assign(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(n));
    request.sampling.temperature = 0;
    request.max_tokens = 1;
    request.on_logits = [&out, n](std::span<const float> row) { out[n - 1].assign(row.begin(), row.end()); };
    engine.add(std::move(request));
  }
  std::vector<TokenEvent> events;
  for (size_t done = 0; done < ids.size();) {
    events.clear();
    engine.step(events);
    for (const TokenEvent& e : events) done += e.finish != Finish::kNone;
  }
  return out;
}

struct Measured {
  double relative = 0;    // |logits - exact| / |exact|, each row without its mean, which no softmax sees
  double divergence = 0;  // mean KL(exact || ours), nats
  double same_top = 0;    // share of rows whose likeliest token is the same
  double perplexity = 0;
};

template <class Row>
double log_sum(const Row& row) {
  const double top = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (double v : row) sum += std::exp(v - top);
  return top + std::log(sum);
}

Measured compare(const std::vector<std::vector<float>>& ours, const std::vector<Vector>& exact,
                 const std::vector<int32_t>& ids) {
  Measured m;
  double off = 0, all = 0, loss = 0;
  for (size_t t = 0; t < exact.size(); ++t) {
    const Vector& e = exact[t];
    const std::vector<float>& o = ours[t];
    double mean_e = 0, mean_o = 0;
    for (size_t v = 0; v < e.size(); ++v) {
      mean_e += e[v] / static_cast<double>(e.size());
      mean_o += o[v] / static_cast<double>(e.size());
    }
    const double lse_e = log_sum(e), lse_o = log_sum(o);
    for (size_t v = 0; v < e.size(); ++v) {
      const double a = e[v] - mean_e, b = o[v] - mean_o;
      off += (a - b) * (a - b);
      all += a * a;
      m.divergence += std::exp(e[v] - lse_e) * ((e[v] - lse_e) - (o[v] - lse_o));
    }
    m.same_top +=
        std::max_element(e.begin(), e.end()) - e.begin() == std::max_element(o.begin(), o.end()) - o.begin();
    if (t + 1 < ids.size()) loss += lse_o - o[static_cast<size_t>(ids[t + 1])];
  }
  const auto rows = static_cast<double>(exact.size());
  m.relative = std::sqrt(off / all);
  m.divergence /= rows;
  m.same_top /= rows;
  m.perplexity = std::exp(loss / (rows - 1));
  return m;
}

int run(bool small, bool json, std::vector<std::string> formats) {
  if (formats.empty()) formats = {"f32", "bf16", "q8_0", "q4_0", "q4_k"};
  io::ModelConfig config = io::default_model_config(io::Family::kGpt2);
  if (small) {
    config.vocab = 512;
    config.hidden = 256;
    config.intermediate = 1024;
    config.layers = 2;
    config.heads = config.kv_heads = 4;
    config.max_position = 64;
  }
  std::string folder = "/tmp/hoist-accuracy-XXXXXX";
  if (!::mkdtemp(folder.data())) throw_io(folder, errno);
  struct Cleaner {
    const std::string& folder;
    ~Cleaner() { io::remove_tree(folder); }
  } cleaner{folder};
  write_model(folder, config);
  const Model source = open_model(folder);
  const std::vector<int32_t> ids = written_by(source, small ? 47 : 31);
  const std::vector<Vector> exact = Exact(source).logits(ids);
  ThreadPool pool;
  bool ok = true;
  const Measured base = compare(engine_logits(source, ids), exact, ids);
  if (!json)
    std::printf("%-6s %12s %14s %12s %10s %12s\n", "format", "bytes", "logits off by", "KL (nats)",
                "same top", "perplexity");
  std::string out;
  for (const std::string& format : formats) {
    Model model;
    int64_t bytes = source.files->data_bytes();
    if (format == "f32") {
      model = open_model(folder);
    } else {
      const std::string path = io::join_path(folder, format + ".gguf");
      write_quantized(source, plan_quantize(source, {.to = format}), path, pool);
      model = open_model(path);
      bytes = model.files->data_bytes();
    }
    const Measured m = compare(engine_logits(model, ids), exact, ids);
    if (format == "q8_0") ok = std::abs(m.perplexity / base.perplexity - 1) <= 0.005;
    if (json) {
      char line[256];
      std::snprintf(line, sizeof line,
                    "%s{\"name\": \"accuracy.%s\", \"bytes\": %lld, \"relative\": %.3e, \"kl\": %.3e, "
                    "\"same_top\": %.3f, "
                    "\"perplexity\": %.5f}",
                    out.empty() ? "[" : ",\n ", format.c_str(), static_cast<long long>(bytes), m.relative,
                    m.divergence, m.same_top, m.perplexity);
      out += line;
    } else {
      std::printf("%-6s %12lld %12.5f %% %12.2e %9.1f %% %12.4f\n", format.c_str(),
                  static_cast<long long>(bytes), 100 * m.relative, m.divergence, 100 * m.same_top,
                  m.perplexity);
      std::fflush(stdout);
    }
  }
  if (json) std::printf("%s]\n", out.c_str());
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace hoist::decode

int main(int argc, char** argv) {
  bool small = false, json = false;
  std::vector<std::string> formats;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--small")
      small = true;
    else if (a == "--json")
      json = true;
    else
      formats.push_back(a);
  }
  try {
    return hoist::decode::run(small, json, formats);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "quant_accuracy: %s\n", e.what());
    return 2;
  }
}
