#include "decode/quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <set>

#include "base/check.h"
#include "base/error.h"
#include "base/threads.h"
#include "decode/gguf_tokenizer.h"
#include "io/files.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "quant/codec.h"

namespace hoist::decode {
namespace {

using io::GgufTensorType;
using Layout = io::GgufName::Layout;

struct FormatRow {
  const char* name;
  uint32_t file_type;    // general.file_type
  const char* fallback;  // where rows are no whole number of blocks
};
constexpr FormatRow kFormats[] = {
    {"f32", 0, ""},       {"f16", 1, ""},       {"bf16", 32, ""},     {"q8_0", 7, "f16"},
    {"q4_0", 2, "f16"},   {"q4_1", 3, "f16"},   {"q5_0", 8, "f16"},   {"q5_1", 9, "f16"},
    {"q4_k", 14, "q5_0"}, {"q5_k", 16, "q5_1"}, {"q6_k", 18, "q8_0"},
};
constexpr int64_t kPieceElements = int64_t{4} << 20;

const FormatRow& format_row(const std::string& name, const std::string& option) {
  for (const FormatRow& row : kFormats)
    if (name == row.name) return row;
  std::string known;
  for (const FormatRow& row : kFormats) known += (known.empty() ? "" : ", ") + std::string(row.name);
  throw_invalid(option + ": found '" + name + "', expected one of " + known);
}

const GgufTensorType* fitting_type(const std::string& name, int64_t width, bool& fallback) {
  const FormatRow* row = &format_row(name, "format");
  const GgufTensorType* type = io::find_gguf_type(std::string_view(row->name));
  while (width % type->block != 0) {
    row = &format_row(row->fallback, "format");
    type = io::find_gguf_type(std::string_view(row->name));
    fallback = true;
  }
  return type;
}

// A file that was GGUF before keeps every key but those that speak of how it was stored.
void copy_metadata(const io::GgufMetadata& from, io::GgufMetadata& to) {
  for (const auto& [key, value] : from.entries())
    if (key != "general.alignment" && key != "general.file_type" && key != "general.quantization_version" &&
        !key.starts_with("split."))
      to.add(key, value);
}

std::string chat_template(const std::string& folder) {
  const std::string own = io::join_path(folder, "chat_template.jinja");
  if (io::path_exists(own)) return io::read_file(own, size_t{1} << 20);
  const std::string config = io::join_path(folder, "tokenizer_config.json");
  if (!io::path_exists(config)) return "";
  const io::JsonDocument doc = io::JsonDocument::parse(io::read_file(config, size_t{64} << 20), config);
  const auto value = doc.root().find("chat_template");
  return value && value->is_string() ? std::string(value->as_string()) : "";
}

void describe(const Model& model, QuantizePlan& plan) {
  if (model.gguf) return copy_metadata(model.gguf->metadata(), plan.metadata);
  io::write_gguf_config(model.config, plan.metadata);
  plan.metadata.set_text("general.name", model.name);
  const std::vector<int64_t>& ends =
      model.config.eos_ids.empty() ? model.generation.eos_ids : model.config.eos_ids;
  const text::GgufVocabExport exported = text::gguf_from_tokenizer(
      *model.tokenizer, model.config.vocab, model.config.bos_id.value_or(-1),
      ends.empty() ? -1 : ends.front(), io::join_path(model.folder, "tokenizer.json"));
  plan.note = exported.note;
  write_gguf_vocab(exported.vocab, plan.metadata);
  // The further ends of a text have keys of their own.
  const char* kEnds[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
  size_t used = 0;
  for (int32_t id : model.eos_ids)
    if (id >= 0 && exported.vocab.eos_id != id && used < std::size(kEnds))
      plan.metadata.set_u32(kEnds[used++], static_cast<uint64_t>(id));
  if (const std::string text = chat_template(model.folder); !text.empty())
    plan.metadata.set_text("tokenizer.chat_template", text);
}

// dims of a tensor in the file, fastest first.
std::vector<int64_t> file_dims(const io::TensorInfo& info, const io::GgufName& name) {
  if (name.layout == Layout::kTransposed) return info.shape;
  if (info.shape.size() == 2 && info.shape[0] == 1 && name.gguf.ends_with("_inp_shexp.weight"))
    return {info.shape[1]};
  std::vector<int64_t> dims{info.shape.rbegin(), info.shape.rend()};
  if (name.layout == Layout::kExperts) dims.push_back(name.experts);
  return dims;
}

class Encoder {
 public:
  Encoder(const QuantizeStep& step, const std::string& path, ThreadPool& pool) : step_(step), pool_(pool) {
    what_ = path + ": tensor '" + step.source->name + "'";
    codec_ = quant::find_codec(step.type->format);
  }

  // `n` elements in the file's order, the first of them element `first` of the tensor as the source names it.
  const std::vector<uint8_t>& run(const float* x, int64_t n) {
    const int64_t block = step_.type->block;
    out_.resize(static_cast<size_t>(n / block * step_.type->bytes));
    std::atomic<int64_t> bad{INT64_MAX};
    const bool half = step_.type->dtype == DType::f16;
    pool_.parallel_for(n / block, std::max<int64_t>(1, 16384 / block), [&](int64_t begin, int64_t end, int) {
      const int64_t count = (end - begin) * block;
      const float* from = x + begin * block;
      uint8_t* to = out_.data() + begin * step_.type->bytes;
      if (codec_ || half)
        for (int64_t i = 0; i < count; ++i)
          if (!(std::fabs(from[i]) <= (half ? 65519.0f : 3.4028235e38f))) {
            int64_t seen = bad.load();
            while (begin * block + i < seen && !bad.compare_exchange_weak(seen, begin * block + i)) {
            }
            return;
          }
      if (codec_)
        codec_->quantize(from, to, count);
      else
        io::convert_elements(DType::f32, from, *step_.type->dtype, to, count, what_);
    });
    if (bad != INT64_MAX)
      throw_invalid(what_ + ": found " + std::to_string(x[bad]) + " among its weights, expected " +
                    (half && std::isfinite(x[bad]) ? "none above 65504 for f16; bf16 holds larger ones"
                                                   : "numbers: a block would be lost to it"));
    return out_;
  }

 private:
  const QuantizeStep& step_;
  ThreadPool& pool_;
  std::string what_;
  const quant::BlockCodec* codec_;
  std::vector<uint8_t> out_;
};

}  // namespace

int64_t QuantizeStep::bytes() const {
  return source->elements() / type->block * type->bytes *
         std::max<int64_t>(1, static_cast<int64_t>(stack.size()));
}

const std::vector<std::string>& quantize_formats() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const FormatRow& row : kFormats) out.emplace_back(row.name);
    return out;
  }();
  return names;
}

QuantizePlan plan_quantize(const Model& model, const QuantizeOptions& options) {
  const FormatRow& wanted = format_row(options.to, "--to");
  if (!options.head.empty()) format_row(options.head, "--head");
  if (!options.embedding.empty()) format_row(options.embedding, "--embedding");
  const bool blocks = io::find_gguf_type(std::string_view(wanted.name))->block > 1;

  QuantizePlan plan;
  describe(model, plan);
  plan.metadata.set_u32("general.file_type", wanted.file_type);
  if (blocks) plan.metadata.set_u32("general.quantization_version", 2);

  std::set<const io::TensorInfo*> used;
  for (const io::GgufName& name : io::gguf_names(model.config)) {
    const bool experts = name.layout == Layout::kExperts;
    const io::CheckpointFiles::Entry* entry =
        model.files->find(experts ? io::expert_tensor_name(name.checkpoint, 0) : name.checkpoint);
    // GPT-2 files come with and without this prefix.
    if (!entry && name.checkpoint.starts_with("transformer."))
      entry = model.files->find(name.checkpoint.substr(12));
    if (!entry || (name.gguf == "output.weight" && model.config.tie_word_embeddings)) continue;
    const io::TensorInfo& info = *entry->info;
    const std::string where = entry->file->path() + ": tensor '" + info.name + "'";
    if (!info.readable() || (info.dtype && !is_float(*info.dtype)))
      throw_unsupported(where + ": found element type " + info.dtype_text + ", expected F32, BF16 or F16");
    if (!info.format.empty() && !options.requantize)
      throw_invalid(where + ": found " + info.dtype_text +
                    ": rounding a second time adds to the error of the first; start from the original, or "
                    "say --requantize");
    if (info.shape.empty() || info.shape.size() > 2 || info.elements() == 0)
      throw_corrupt(where + ": found a shape of " + std::to_string(info.shape.size()) +
                    " dimensions, expected 1 or 2");
    if (name.layout == Layout::kHeads && info.shape[0] != name.heads * model.config.head_dim)
      throw_corrupt(where + ": found " + std::to_string(info.shape[0]) + " rows, expected " +
                    std::to_string(name.heads * model.config.head_dim));
    QuantizeStep step{name, &info, nullptr};
    for (int64_t e = 0; experts && e < name.experts; ++e) {
      const io::TensorInfo& of = *model.files->at(io::expert_tensor_name(name.checkpoint, e)).info;
      if (of.shape != info.shape || of.format != info.format || !of.readable())
        throw_corrupt(where + ": found another shape or type in '" + of.name + "'");
      step.stack.push_back(&of);
      used.insert(&of);
    }
    // Vectors, positions and what routes tokens to experts.
    if (info.shape.size() == 1 || name.gguf == "position_embd.weight" ||
        name.gguf.find(".ffn_gate_inp") != name.gguf.npos) {
      step.type = io::find_gguf_type("f32");
    } else {
      const bool tied = model.config.tie_word_embeddings;
      const bool head = name.gguf == "output.weight" || (tied && name.gguf == "token_embd.weight");
      std::string format = options.to;
      if (head && !options.head.empty())
        format = options.head;
      else if (head && blocks && options.to != "q8_0")
        format = "q6_k";
      else if (!head && name.gguf == "token_embd.weight" && !options.embedding.empty())
        format = options.embedding;
      step.type = fitting_type(format, file_dims(info, name)[0], step.fallback);
    }
    used.insert(&info);
    plan.steps.push_back(std::move(step));
  }
  for (const auto& entry : model.files->tensors())
    if (!used.contains(entry.info) && !models::ignorable_tensor(model.config, entry.info->name))
      throw_unsupported(entry.file->path() + ": tensor '" + entry.info->name + "' has no name in GGUF files");
  return plan;
}

io::FileDigest write_quantized(const Model& model, const QuantizePlan& plan, const std::string& path,
                               ThreadPool& pool, const std::function<void(int64_t, int64_t)>& progress) {
  std::vector<io::GgufTensorSpec> specs;
  const std::vector<io::GgufDivisors> divisors = io::gguf_rope_tensors(model.config);
  for (const io::GgufDivisors& d : divisors)
    specs.push_back({d.tensor, io::find_gguf_type("f32"), {static_cast<int64_t>(d.values.size())}});
  int64_t all = 0, done = 0;
  for (const QuantizeStep& step : plan.steps) {
    specs.push_back({step.name.gguf, step.type, file_dims(*step.source, step.name)});
    all += step.source->elements() * 4 * std::max<int64_t>(1, static_cast<int64_t>(step.stack.size()));
  }
  io::GgufWriter writer(path, plan.metadata, specs);
  for (const io::GgufDivisors& d : divisors)
    writer.write(d.tensor, d.values.data(), static_cast<int64_t>(d.values.size()) * 4);
  std::vector<float> x, y;
  for (const QuantizeStep& step : plan.steps) {
    const io::TensorInfo& info = *step.source;
    const io::TensorFile& file = *model.files->at(info.name).file;
    Encoder encoder(step, file.path(), pool);
    const auto emit = [&](const float* from, int64_t n) {
      const std::vector<uint8_t>& bytes = encoder.run(from, n);
      writer.write(step.name.gguf, bytes.data(), static_cast<int64_t>(bytes.size()));
      done += n * 4;
      if (progress) progress(done, all);
    };
    if (step.name.layout == Layout::kTransposed) {
      const int64_t in = info.shape[0], out = info.shape[1];
      x.resize(static_cast<size_t>(in * out));
      file.read_as(info, DType::f32, x.data(), 0, in * out);
      const int64_t rows = std::clamp<int64_t>(kPieceElements / in, 1, out);
      y.resize(static_cast<size_t>(rows * in));
      for (int64_t r = 0; r < out; r += rows) {
        const int64_t n = std::min(rows, out - r);
        for (int64_t i = 0; i < in; ++i)
          for (int64_t k = 0; k < n; ++k)
            y[static_cast<size_t>(k * in + i)] = x[static_cast<size_t>(i * out + r + k)];
        emit(y.data(), n * in);
      }
      continue;
    }
    // Rows of elements that stay together: a permuted vector's are its elements.
    const bool heads = step.name.layout == Layout::kHeads;
    const int64_t head_dim = model.config.head_dim;
    const int64_t width = heads && info.shape.size() == 1 ? 1 : info.row_elements();
    const int64_t count = info.elements() / width;
    int64_t rows = std::clamp<int64_t>(kPieceElements / width, 1, count);
    if (heads) rows = std::max<int64_t>(rows / head_dim, 1) * head_dim;
    const auto copy = [&](const io::TensorInfo& from) {
      const io::TensorFile& of = *model.files->at(from.name).file;
      for (int64_t r = 0; r < count; r += rows) {
        const int64_t n = std::min(rows, count - r);
        x.resize(static_cast<size_t>(n * width));
        of.read_as(from, DType::f32, x.data(), r * width, n * width);
        if (step.name.layout == Layout::kPlusOne)
          for (float& value : x) value += 1;
        if (heads) {
          y.resize(x.size());
          for (int64_t i = 0; i < n; ++i)
            std::memcpy(y.data() + io::gguf_row(i, head_dim) * width, x.data() + i * width,
                        static_cast<size_t>(width) * 4);
          x.swap(y);
        }
        emit(x.data(), n * width);
      }
    };
    if (step.stack.empty()) copy(info);
    for (const io::TensorInfo* expert : step.stack) copy(*expert);
  }
  return writer.finish();
}

}  // namespace hoist::decode
