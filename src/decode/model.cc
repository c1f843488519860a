#include "decode/model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>

#include "base/error.h"
#include "decode/gguf_tokenizer.h"
#include "decode/packed_weights.h"
#include "io/files.h"
#include "io/gguf_model.h"

namespace hoist::decode {

namespace {

// GPT-2 files come with and without the "transformer." prefix.
const io::CheckpointFiles::Entry* find_tensor(const io::CheckpointFiles& files, const std::string& name) {
  if (auto* e = files.find(name)) return e;
  constexpr std::string_view kPrefix = "transformer.";
  return name.starts_with(kPrefix) ? files.find(name.substr(kPrefix.size())) : nullptr;
}

// Of one row of a parameter's tensor.
int64_t row_elements(const models::Parameter& p) {
  int64_t n = 1;
  for (size_t i = 1; i < p.shape.size(); ++i) n *= p.shape[i];
  return n;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

// Checkpoints of vectors that are a matrix of one row say so or not.
bool same_shape(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  const auto from = [](const std::vector<int64_t>& s) {
    auto at = s.begin();
    while (at != s.end() && *at == 1) ++at;
    return at;
  };
  return std::equal(from(a), a.end(), from(b), b.end());
}

// A parameter that is columns [offset, offset + width) of its tensor's rows.
struct Cut {
  int64_t rows = 1, total = 1, width = 1;
};
Cut cut_of(const models::Parameter& p) {
  Cut c;
  for (size_t i = 0; i + 1 < p.shape.size(); ++i) c.rows *= p.shape[i];
  c.total = p.shape.back();
  c.width = p.type.elements() / c.rows;
  return c;
}

}  // namespace

Symbol Model::block_format(const models::Parameter& p) const {
  if (draw) return drawn_format;
  const auto* e = files ? find_tensor(*files, p.tensor) : nullptr;
  return e ? Symbol(e->info->format) : Symbol();
}

bool Model::is_eos(int32_t id) const {
  return std::find(eos_ids.begin(), eos_ids.end(), id) != eos_ids.end();
}

DType Model::stored_dtype() const {
  if (draw) return drawn_dtype;
  std::map<DType, int64_t> bytes;
  for (const auto& e : files->tensors())
    if (e.info->dtype) bytes[*e.info->dtype] += e.info->bytes();
  DType best = DType::f32;
  int64_t most = 0;
  for (auto [dtype, n] : bytes)
    if (n > most) {
      most = n;
      best = dtype;
    }
  return best == DType::bf16 ? DType::bf16 : DType::f32;
}

std::vector<int32_t> encode_prompt(const Model& model, std::string_view text, bool add_special_tokens) {
  std::vector<int32_t> ids = model.tokenizer->encode(text, add_special_tokens);
  if (text.empty())
    for (int32_t id : model.tokenizer->start_of_text()) ids.push_back(id);
  if (ids.empty() && model.config.bos_id) ids.push_back(static_cast<int32_t>(*model.config.bos_id));
  if (ids.empty()) throw_invalid("prompt: found no tokens, and this model has no token to begin with");
  return ids;
}

namespace {

void check_tokenizer(const Model& m, const std::string& source) {
  if (m.tokenizer->vocab_size() > m.config.vocab)
    throw_invalid(source + ": found " + std::to_string(m.tokenizer->vocab_size()) +
                  " token ids, expected at most the " + std::to_string(m.config.vocab) +
                  " rows of the model");
}

Model open_gguf(const std::string& path) {
  Model m;
  m.folder = path;
  m.gguf = io::GgufSet::open(path);
  m.name = path.substr(path.find_last_of('/') + 1);
  m.name.resize(m.name.size() - std::string_view(".gguf").size());
  m.config = io::read_gguf_config(*m.gguf);
  m.generation = io::read_gguf_generation(*m.gguf);
  m.tokenizer = text::tokenizer_from_gguf(read_gguf_vocab(m.gguf->metadata()), m.gguf->path());
  check_tokenizer(m, m.gguf->path() + ": tokenizer.ggml.tokens");
  m.files = std::make_unique<io::CheckpointFiles>(m.gguf, m.config);
  for (int64_t id : m.generation.eos_ids) m.eos_ids.push_back(static_cast<int32_t>(id));
  return m;
}

}  // namespace

Model open_model(const std::string& path) {
  if (!io::is_directory(path)) {
    if (io::path_exists(path)) {
      io::refuse_foreign_weights(path);
      if (path.ends_with(".gguf")) return open_gguf(path);
    }
    throw_not_found(
        path +
        ": found no such model, expected a folder with config.json, *.safetensors and tokenizer.json, or a "
        ".gguf file");
  }
  Model m;
  m.folder = path;
  m.name = io::base_name(path);
  m.config = io::load_model_config(path);
  m.generation = io::load_generation_config(path);
  m.tokenizer = text::Tokenizer::load(io::join_path(path, "tokenizer.json"));
  check_tokenizer(m, io::join_path(path, "tokenizer.json"));
  m.files = std::make_unique<io::CheckpointFiles>(path);
  const auto& eos = m.generation.eos_ids.empty() ? m.config.eos_ids : m.generation.eos_ids;
  for (int64_t id : eos) m.eos_ids.push_back(static_cast<int32_t>(id));
  return m;
}

namespace {

// The tensor a parameter, or a part of one, comes from; checked.
const io::CheckpointFiles::Entry& source_of(const io::CheckpointFiles& files, const std::string& name,
                                            const std::vector<int64_t>& shape) {
  const auto* e = find_tensor(files, name);
  if (!e)
    throw_not_found(files.path() + ": found no tensor '" + name +
                    "', which the model's configuration calls for");
  if (!same_shape(e->info->shape, shape))
    throw_corrupt(e->file->path() + ": tensor '" + e->info->name + "': found shape " +
                  shape_text(e->info->shape) + ", expected " + shape_text(shape));
  if (!e->info->readable() || (e->info->dtype && !is_float(*e->info->dtype)))
    throw_unsupported(e->file->path() + ": tensor '" + e->info->name + "': found element type " +
                      e->info->dtype_text + ", expected F32, BF16, F16 or one of the block formats q8_0, " +
                      "q4_0, q4_1, q5_0, q5_1, q4_k, q5_k, q6_k");
  return *e;
}

}  // namespace

void load_weights(const io::ModelConfig& config, const io::CheckpointFiles& files,
                  const std::vector<models::Parameter>& parameters,
                  FunctionRef<std::byte*(const models::Parameter&)> destination, bool partial) {
  std::unique_ptr<ThreadPool> pool;
  for (const models::Parameter& p : parameters) {
    // All of a stack's tensors are checked before any is read.
    std::vector<const io::CheckpointFiles::Entry*> sources;
    if (p.stack.empty()) sources.push_back(&source_of(files, p.tensor, p.shape));
    for (const std::string& name : p.stack) sources.push_back(&source_of(files, name, p.shape));
    std::byte* to = destination(p);
    if (!p.type.format.empty()) {
      if (!pool) pool = std::make_unique<ThreadPool>();
      for (size_t i = 0; i < sources.size(); ++i)
        load_panels(*sources[i], p, static_cast<int64_t>(i), to, *pool);
      continue;
    }
    const int64_t each = p.type.elements() / static_cast<int64_t>(sources.size());
    const int64_t size = dtype_size(p.type.dtype);
    if (p.whole || p.rows) {
      const int64_t first = p.rows ? p.offset * row_elements(p) : 0;
      for (const auto* e : sources) {
        e->file->read_as(*e->info, p.type.dtype, to, first, each);
        to += each * size;
      }
      continue;
    }
    const auto* e = sources[0];
    const Cut c = cut_of(p);
    for (int64_t r = 0; r < c.rows; ++r)
      e->file->read_as(*e->info, p.type.dtype, to + r * c.width * size, r * c.total + p.offset, c.width);
  }
  if (!partial) check_tensors(config, files, parameters);
}

void check_tensors(const io::ModelConfig& config, const io::CheckpointFiles& files,
                   const std::vector<models::Parameter>& parameters) {
  std::set<const io::TensorInfo*> used;
  for (const models::Parameter& p : parameters) {
    if (const auto* e = find_tensor(files, p.tensor)) used.insert(e->info);
    for (const std::string& name : p.stack)
      if (const auto* e = find_tensor(files, name)) used.insert(e->info);
  }
  for (const auto& e : files.tensors())
    if (!used.count(e.info) && !models::ignorable_tensor(config, e.info->name))
      throw_unsupported(e.file->path() + ": tensor '" + e.info->name + "' has no place in a " +
                        std::string(io::family_name(config.family)) + " model of this configuration");
}

void draw_weights(const std::function<void(const models::Parameter&, std::byte*)>& draw,
                  const std::vector<models::Parameter>& parameters, runtime::StateStore& states) {
  ThreadPool pool;
  std::vector<float> values;
  for (const models::Parameter& p : parameters) {
    if (p.type.format.empty()) {
      draw(p, states.data(p.name));
      continue;
    }
    models::Parameter dense = p;
    dense.type = p.stored.with_dtype(DType::f32);
    values.resize(static_cast<size_t>(dense.type.elements()));
    draw(dense, reinterpret_cast<std::byte*>(values.data()));
    pack_panels(values.data(), p, states.data(p.name), pool);
  }
}

void load_weights(const Model& model, const std::vector<models::Parameter>& parameters,
                  runtime::StateStore& states) {
  if (model.draw) return draw_weights(model.draw, parameters, states);
  load_weights(model.config, *model.files, parameters,
               [&](const models::Parameter& p) { return states.data(p.name); });
}

std::vector<std::pair<std::string, io::FileDigest>> save_weights(
    const std::string& folder, const std::vector<models::Parameter>& parameters, DType stored,
    FunctionRef<WeightData(const models::Parameter&)> source) {
  struct Part {
    const models::Parameter* parameter;
    int64_t index;  // in its stack
  };
  std::vector<io::TensorSpec> specs;
  std::map<std::string, std::vector<Part>> parts;
  for (const models::Parameter& p : parameters) {
    const std::vector<std::string> names = p.stack.empty() ? std::vector<std::string>{p.tensor} : p.stack;
    for (size_t i = 0; i < names.size(); ++i) {
      if (parts[names[i]].empty()) specs.push_back({names[i], stored, p.shape});
      parts[names[i]].push_back({&p, static_cast<int64_t>(i)});
    }
  }
  io::CheckpointWriter writer(folder, specs);
  for (const io::TensorSpec& spec : writer.order()) {
    const std::vector<Part>& list = parts[spec.name];
    HOIST_CHECK(list.size() <= kMostJoined || list[0].parameter->whole || list[0].parameter->rows,
                "tensor " + spec.name + " is joined from too many parameters");
    if (list[0].parameter->whole || list[0].parameter->rows) {
      for (const auto& [p, index] : list) {
        const WeightData w = source(*p);
        const int64_t each = p->type.elements() / std::max<int64_t>(1, static_cast<int64_t>(p->stack.size()));
        writer.write_as(spec.name, w.dtype, w.data + index * each * dtype_size(w.dtype), each);
      }
      continue;
    }
    std::vector<WeightData> data;
    for (const Part& part : list) data.push_back(source(*part.parameter));
    for (int64_t r = 0; r < cut_of(*list[0].parameter).rows; ++r)
      for (size_t i = 0; i < list.size(); ++i) {
        int64_t width = cut_of(*list[i].parameter).width;
        writer.write_as(spec.name, data[i].dtype, data[i].data + r * width * dtype_size(data[i].dtype),
                        width);
      }
  }
  return writer.finish();
}

}  // namespace hoist::decode
