// hoist embed: the vectors of many texts by an encoder, without a server, as JSON lines, .npy or safetensors.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <memory>
#include <numeric>

#include "base/error.h"
#include "cli/options.h"
#include "decode/encoder.h"
#include "hub/store.h"
#include "io/files.h"
#include "io/json.h"
#include "io/json_value.h"
#include "io/safetensors.h"

namespace hoist::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxInput = size_t{4} << 30;
constexpr size_t kWindow = 4096;  // texts that are sorted by length together, and written together

struct EmbedOptions {
  std::string model, file, out, field = "text", prefix;
  std::vector<std::string> texts;
  int threads = 0;
  int64_t batch_tokens = 1024;
  bool exact = false, truncate = false, quiet = false, force = false;
};

struct Text {
  std::string text;
  std::string from;  // for messages: "texts.jsonl:17"
};

// One line that is written over; nothing when standard error is no terminal.
class Progress {
 public:
  explicit Progress(bool shown) : shown_(shown) {}
  void show(size_t done, size_t all) {
    const Clock::time_point now = Clock::now();
    if (!shown_ || (done < all && now - last_ < std::chrono::milliseconds(200))) return;
    last_ = now;
    const double spent = std::chrono::duration<double>(now - start_).count();
    const double share = static_cast<double>(done) / static_cast<double>(std::max<size_t>(all, 1));
    std::fprintf(stderr, "\r%3.0f %%  %zu of %zu texts, %.0f a second, %.0f s left   ", 100 * share, done,
                 all, static_cast<double>(done) / std::max(spent, 1e-9),
                 done > 0 ? spent / share - spent : 0.0);
    if (done == all) std::fprintf(stderr, "\r%70s\r", "");
    std::fflush(stderr);
  }

 private:
  bool shown_;
  Clock::time_point start_ = Clock::now(), last_{};
};

std::string read_input(const std::string& path) {
  if (path != "-") return io::read_file(path, kMaxInput);
  std::string text;
  char buffer[1 << 16];
  while (size_t n = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, n);
    if (text.size() > kMaxInput) throw_invalid("standard input: found more than 4 GiB, expected less");
  }
  return text;
}

// A line of JSON: a text, or an object that holds one.
std::string text_of(std::string_view line, const std::string& where, const std::string& field) {
  const auto document = io::JsonDocument::parse(line, where);
  const io::Json root = document.root();
  if (root.is_string()) return std::string(root.as_string());
  if (!root.is_object()) root.refuse("a string, or an object with \"" + field + "\"");
  return std::string(root.at(field).as_string());
}

std::vector<Text> read_texts(const EmbedOptions& o) {
  std::vector<Text> texts;
  for (const std::string& t : o.texts) texts.push_back({t, "text " + std::to_string(texts.size() + 1)});
  if (o.file.empty()) return texts;
  const std::string input = read_input(o.file), name = o.file == "-" ? "standard input" : o.file;
  const bool plain = name.ends_with(".txt");
  size_t number = 0;
  for (size_t at = 0; at < input.size();) {
    const size_t end = std::min(input.find('\n', at), input.size());
    std::string_view line = std::string_view(input).substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    at = end + 1;
    const std::string where = name + ":" + std::to_string(++number);
    if (plain)
      texts.push_back({std::string(line), where});
    else if (line.find_first_not_of(" \t") != std::string_view::npos)
      texts.push_back({text_of(line, where, o.field), where});
  }
  return texts;
}

decode::EncoderInput tokens_of(const decode::EncoderModel& model, const decode::Encoder& encoder,
                               const Text& text, const EmbedOptions& o) {
  const text::Tokenizer& tokenizer = *model.tokenizer;
  std::vector<int32_t> ids = tokenizer.encode(o.prefix + text.text, false);
  const size_t special = tokenizer.join(std::span<const int32_t>()).ids.size();
  const auto most = static_cast<size_t>(encoder.max_tokens());
  if (ids.size() + special > most) {
    if (!o.truncate)
      throw_invalid(text.from + ": found " + std::to_string(ids.size() + special) +
                    " tokens, expected at most " + std::to_string(most) + "; --truncate cuts what is longer");
    ids.resize(most > special ? most - special : 0);
  }
  auto joined = tokenizer.join(ids);
  decode::EncoderInput input;
  input.ids = std::move(joined.ids);
  if (model.config.types > 1) input.types = std::move(joined.types);
  try {
    encoder.check(input, decode::EncoderTask::kEmbed);
  } catch (const Error& e) {
    throw Error(e.code(), text.from + ": " + e.what());
  }
  return input;
}

// Takes rows in order.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual void add(const std::vector<float>& row) = 0;
  virtual void finish() = 0;
};

class JsonLines final : public Sink {
 public:
  explicit JsonLines(const std::string& path) {
    if (!path.empty()) file_ = std::make_unique<io::FileWriter>(path);
  }
  void add(const std::vector<float>& row) override {
    std::string line = "{\"index\":" + std::to_string(count_++) + ",\"embedding\":[";
    char number[32];
    for (size_t i = 0; i < row.size(); ++i)
      line.append(number, static_cast<size_t>(std::snprintf(number, sizeof number, i ? ",%.9g" : "%.9g",
                                                            static_cast<double>(row[i]))));
    line += "]}\n";
    if (file_)
      file_->write(line.data(), line.size());
    else if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size())
      throw Error(ErrorCode::kUnavailable, "standard output: cannot be written");
  }
  void finish() override {
    if (file_)
      file_->commit();
    else
      std::fflush(stdout);
  }

 private:
  std::unique_ptr<io::FileWriter> file_;
  size_t count_ = 0;
};

// NumPy's format 1.0: magic, version, length of the header, the header padded to 64 bytes, the data.
class Npy final : public Sink {
 public:
  Npy(const std::string& path, size_t rows, int64_t width) : file_(path) {
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                         std::to_string(width) + "), }";
    constexpr size_t kBefore = 10;
    while ((kBefore + header.size() + 1) % 64 != 0) header += ' ';
    header += '\n';
    const char before[kBefore] = {'\x93',
                                  'N',
                                  'U',
                                  'M',
                                  'P',
                                  'Y',
                                  1,
                                  0,
                                  static_cast<char>(header.size() & 255),
                                  static_cast<char>(header.size() >> 8)};
    file_.write(before, kBefore);
    file_.write(header.data(), header.size());
  }
  void add(const std::vector<float>& row) override { file_.write(row.data(), row.size() * sizeof(float)); }
  void finish() override { file_.commit(); }

 private:
  io::FileWriter file_;
};

class Safetensors final : public Sink {
 public:
  Safetensors(const std::string& path, size_t rows, int64_t width, const std::string& model)
      : file_(path, {{"embeddings", DType::f32, {static_cast<int64_t>(rows), width}}}, {{"model", model}}) {}
  void add(const std::vector<float>& row) override {
    file_.write("embeddings", row.data(), static_cast<int64_t>(row.size() * sizeof(float)));
  }
  void finish() override { file_.finish(); }

 private:
  io::SafetensorsWriter file_;
};

std::unique_ptr<Sink> make_sink(const EmbedOptions& o, size_t rows, int64_t width, const std::string& model) {
  if (o.out.ends_with(".npy")) return std::make_unique<Npy>(o.out, rows, width);
  if (o.out.ends_with(".safetensors")) return std::make_unique<Safetensors>(o.out, rows, width, model);
  return std::make_unique<JsonLines>(o.out);
}

// The texts of a window in batches of like lengths, the longest first: memory is known at once.
void embed_window(const decode::EncoderModel& model, decode::Encoder& encoder, std::span<const Text> texts,
                  const EmbedOptions& o, std::vector<std::vector<float>>& rows,
                  const std::function<void(size_t)>& done) {
  std::vector<decode::EncoderInput> inputs;
  inputs.reserve(texts.size());
  for (const Text& t : texts) inputs.push_back(tokens_of(model, encoder, t, o));
  std::vector<size_t> order(texts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return inputs[a].ids.size() > inputs[b].ids.size(); });
  rows.assign(texts.size(), {});
  for (size_t at = 0; at < order.size();) {
    std::vector<const decode::EncoderInput*> batch;
    const size_t first = at;
    for (int64_t tokens = 0; at < order.size(); ++at) {
      tokens += static_cast<int64_t>(inputs[order[at]].ids.size());
      if (!batch.empty() &&
          (tokens > encoder.batch_tokens() || static_cast<int64_t>(batch.size()) == encoder.batch_seqs()))
        break;
      batch.push_back(&inputs[order[at]]);
    }
    const std::vector<decode::EncoderTask> tasks(batch.size(), decode::EncoderTask::kEmbed);
    std::vector<std::vector<float>> results;
    encoder.run(batch, tasks, results);
    for (size_t i = 0; i < results.size(); ++i) {
      for (const float x : results[i])
        if (!std::isfinite(x))
          throw Error(ErrorCode::kCorrupt,
                      texts[order[first + i]].from + ": the model's output is not a number");
      rows[order[first + i]] = std::move(results[i]);
    }
    done(batch.size());
  }
}

void run(const EmbedOptions& o) {
  if (o.file.empty() == o.texts.empty())
    throw_invalid(o.file.empty() ? "found no texts; give some, or --file"
                                 : "--file: found together with texts");
  if (!o.out.empty() && !o.out.ends_with(".jsonl") && !o.out.ends_with(".npy") &&
      !o.out.ends_with(".safetensors"))
    throw_invalid("--out: found '" + o.out + "', expected a name that ends in .jsonl, .npy or .safetensors");
  if (!o.out.empty() && io::path_exists(o.out) && !o.force)
    throw_invalid("--out: " + o.out + " is there already; give another name, or --force to replace it");
  const std::vector<Text> texts = read_texts(o);
  const decode::EncoderModel model = decode::open_encoder(hub::resolve_model(o.model));
  decode::EncoderOptions options;
  options.threads = o.threads;
  options.batch_tokens = o.batch_tokens;
  options.weights_as_stored = !o.exact;
  decode::Encoder encoder(model, options);
  const int64_t width = encoder.width(decode::EncoderTask::kEmbed);
  if (width == 0) throw_invalid(o.model + ": this model gives no vectors");
  const auto sink = make_sink(o, texts.size(), width, model.name);
  Progress progress(isatty(2) && !o.quiet);
  const Clock::time_point start = Clock::now();
  size_t finished = 0;
  std::vector<std::vector<float>> rows;
  for (size_t at = 0; at < texts.size(); at += kWindow) {
    const auto window = std::span(texts).subspan(at, std::min(kWindow, texts.size() - at));
    embed_window(model, encoder, window, o, rows,
                 [&](size_t n) { progress.show(finished += n, texts.size()); });
    for (const std::vector<float>& row : rows) sink->add(row);
  }
  sink->finish();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  if (!o.quiet && !o.out.empty())
    std::fprintf(stderr, "%s: %zu vectors of %lld numbers in %.1f s, %.0f a second\n", o.out.c_str(),
                 texts.size(), static_cast<long long>(width), seconds,
                 static_cast<double>(texts.size()) / std::max(seconds, 1e-9));
}

}  // namespace

void add_embed(Command root) {
  auto o = std::make_shared<EmbedOptions>();
  Command app = root.command("embed", "The vectors of texts by an encoder, into a file");
  app.add_option("model", o->model,
                 "Folder of an encoder: BERT, RoBERTa, XLM-R, DistilBERT, sentence-transformers")
      .required()
      .envname("HOIST_MODEL");
  app.add_option("text", o->texts, "Texts; or give --file").envname("HOIST_EMBED_TEXTS");
  app.add_option(
      "-f,--file", o->file,
      "Texts, one a line: JSON strings or objects with --field; as they stand in a .txt; - is standard "
      "input, as JSON");
  app.option("--field", o->field, "Where an object holds its text");
  app.add_option("-o,--out", o->out,
                 "File to write: .jsonl, .npy or .safetensors (default: JSON lines here)");
  app.add_option("--prefix", o->prefix,
                 "Put before each text, as some models want: \"query: \", \"passage: \"");
  app.flag("--truncate", o->truncate, "Cut texts beyond the model's longest; without it they are refused");
  app.option("--batch-tokens", o->batch_tokens, "Tokens computed together")
      .range(int64_t{1}, int64_t{1} << 20);
  app.flag("--exact", o->exact, "Compute in float32 whatever the weights are stored in");
  app.flag("--force", o->force, "Replace the file if it is there");
  app.flag("--quiet", o->quiet, "Print nothing but errors and vectors");
  app.option("--threads", o->threads, "Threads; 0: one per core");
  app.footer(
      "Vectors come in the order of the texts, pooled and scaled as the model's folder says. Each has the "
      "same\n"
      "bits whatever stands beside it. The file appears when it is whole.\n\n"
      "  .jsonl        {\"index\": 0, \"embedding\": [...]} a line\n"
      "  .npy          float32 of texts x numbers: numpy.load(\"vectors.npy\", mmap_mode=\"r\")\n"
      "  .safetensors  the same as the tensor \"embeddings\"\n\n"
      "Examples:\n"
      "  hoist embed path/to/encoder \"a cat\" \"a dog\"\n"
      "  hoist embed path/to/encoder --file texts.jsonl --prefix \"passage: \" -o vectors.npy\n"
      "  jq -c .title papers.jsonl | hoist embed path/to/encoder -f - -o titles.safetensors");
  app.callback([o] { run(*o); });
}

}  // namespace hoist::cli
