#include "io/gguf_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "base/check.h"
#include "base/error.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "quant/codec.h"

namespace hoist::io {
namespace {

using Layout = GgufName::Layout;
constexpr int64_t kPieceBytes = 1 << 20;

// Elements of `tensor`'s type at `raw`, as `dtype`. Blocks are whole.
void convert(const TensorInfo& tensor, const uint8_t* raw, DType dtype, void* destination, int64_t count,
             std::vector<float>& staging, const std::string& what) {
  if (tensor.format.empty()) return convert_elements(*tensor.dtype, raw, dtype, destination, count, what);
  const quant::BlockCodec& codec = *quant::find_codec(tensor.format);
  if (dtype == DType::f32 && reinterpret_cast<uintptr_t>(destination) % alignof(float) == 0)
    return codec.dequantize(raw, static_cast<float*>(destination), count);
  staging.resize(static_cast<size_t>(count));
  codec.dequantize(raw, staging.data(), count);
  convert_elements(DType::f32, staging.data(), dtype, destination, count, what);
}

class GgufTensors : public TensorFile {
 public:
  GgufTensors(std::shared_ptr<const GgufSet> set, const GgufFile& file, const ModelConfig& config)
      : set_(std::move(set)), file_(file), head_dim_(config.head_dim) {
    std::unordered_map<std::string_view, const GgufName*> known;
    const std::vector<GgufName> names = gguf_names(config);
    for (const GgufName& name : names) known.emplace(name.gguf, &name);
    for (const GgufTensor& tensor : file.tensors()) {
      if (tensor.name == "rope_freqs.weight" || tensor.name.starts_with("rope_factors_"))
        continue;  // read_gguf_config has taken them
      const auto at = known.find(tensor.name);
      if (at != known.end() && at->second->layout == Layout::kExperts) {
        add_experts(tensor, *at->second);
        continue;
      }
      TensorInfo info;
      info.name = at == known.end() ? tensor.name : at->second->checkpoint;
      info.dtype_text = tensor.type->name;
      info.dtype = tensor.type->dtype;
      info.format = tensor.type->format;
      info.begin = tensor.offset;
      info.end = tensor.offset + tensor.bytes;
      Source source{&tensor, at == known.end() ? Layout::kSame : at->second->layout, 0};
      info.shape.assign(tensor.dims.rbegin(), tensor.dims.rend());
      if (source.layout == Layout::kTransposed) {
        info.shape = tensor.dims;
        info.transposed = true;
      }
      if (source.layout == Layout::kPlusOne && tensor.type->dtype != DType::f32)
        throw_unsupported(fmt::format("{}: tensor {}: found {}, expected F32, as norms are stored",
                                      file.path(), json_quote(tensor.name), tensor.type->name));
      if (source.layout == Layout::kHeads && info.shape[0] != at->second->heads * head_dim_)
        throw_corrupt(fmt::format("{}: tensor {}: found {} rows, expected {} heads of {}", file.path(),
                                  json_quote(tensor.name), info.shape[0], at->second->heads, head_dim_));
      tensors_.push_back(std::move(info));
      sources_.push_back(source);
    }
  }

  const std::string& path() const override { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const override { return tensors_; }
  int64_t data_bytes() const override { return file_.data_bytes(); }
  std::pair<uint64_t, uint64_t> identity() const override { return file_.identity(); }

  void read_rows(const TensorInfo& tensor, int64_t first_row, int64_t rows,
                 void* destination) const override {
    HOIST_CHECK(first_row >= 0 && rows >= 0 && first_row + rows <= tensor.row_count(),
                "rows outside " + tensor.name);
    read_units(tensor, source_of(tensor), tensor.row_elements(), first_row, rows,
               static_cast<uint8_t*>(destination));
  }

  void read_as(const TensorInfo& tensor, DType dtype, void* destination, int64_t first,
               int64_t count) const override {
    const Source& source = source_of(tensor);
    const std::string what = path() + ": " + tensor.name;
    HOIST_CHECK(first >= 0 && count >= 0 && first + count <= tensor.elements(),
                "range outside tensor " + tensor.name);
    if (!tensor.readable())
      throw_unsupported(
          fmt::format("{}: found element type {}, which we cannot compute with", what, tensor.dtype_text));
    if (count == 0) return;
    auto* out = static_cast<uint8_t*>(destination);
    if (source.layout == Layout::kTransposed && tensor.shape.size() == 2) {
      const auto turned = turned_tensor(tensor, source);
      convert_elements(DType::f32, turned->data() + first, dtype, out, count, what);
      return;
    }
    // A permuted vector's rows are its elements.
    if (source.layout == Layout::kPlusOne) {
      std::vector<float> values(static_cast<size_t>(count));
      std::vector<uint8_t> raw(static_cast<size_t>(count) * 4);
      read_units(tensor, source, 1, first, count, raw.data());
      convert(tensor, raw.data(), DType::f32, values.data(), count, values, what);
      for (float& x : values) x -= 1;
      return convert_elements(DType::f32, values.data(), dtype, out, count, what);
    }
    const int64_t width =
        source.layout == Layout::kHeads && tensor.shape.size() == 1 ? 1 : tensor.row_elements();
    const int64_t size = dtype_size(dtype);
    std::vector<uint8_t> raw, whole;
    std::vector<float> staging;
    // Pieces are whole rows, or where rows are long, whole blocks of one row.
    const int64_t block = tensor.format.empty() ? 1 : quant::find_codec(tensor.format)->block;
    const int64_t unit = source.layout == Layout::kSame ? block : width;
    const int64_t unit_bytes = tensor.bytes() / (tensor.elements() / unit);
    int64_t piece = std::max<int64_t>(1, kPieceBytes / std::max(unit_bytes, unit * size));
    if (source.layout == Layout::kHeads) piece = std::max(piece / head_dim_, int64_t{1}) * head_dim_;
    for (int64_t at = first / unit, end = (first + count + unit - 1) / unit; at < end;) {
      const int64_t n = std::min(piece - (source.layout == Layout::kHeads ? at % head_dim_ : 0), end - at);
      raw.resize(static_cast<size_t>(n * unit_bytes));
      read_units(tensor, source, unit, at, n, raw.data());
      const int64_t begin = std::max(first, at * unit), stop = std::min(first + count, (at + n) * unit);
      if (begin == at * unit && stop == (at + n) * unit) {
        convert(tensor, raw.data(), dtype, out, n * unit, staging, what);
      } else {
        whole.resize(static_cast<size_t>(n * unit * size));
        convert(tensor, raw.data(), dtype, whole.data(), n * unit, staging, what);
        std::memcpy(out, whole.data() + (begin - at * unit) * size,
                    static_cast<size_t>((stop - begin) * size));
      }
      out += (stop - begin) * size;
      at += n;
    }
  }

 private:
  struct Source {
    const GgufTensor* tensor;
    Layout layout;
    int64_t begin;  // in the file's tensor, bytes
  };

  // All experts of a layer, as a tensor each.
  void add_experts(const GgufTensor& tensor, const GgufName& name) {
    if (tensor.dims.size() != 3 || tensor.dims[2] != name.experts)
      throw_corrupt(
          fmt::format("{}: tensor {}: found [{}], expected three dimensions, the last of {} experts",
                      file_.path(), json_quote(tensor.name), fmt::join(tensor.dims, ", "), name.experts));
    const int64_t bytes = tensor.bytes / name.experts;
    for (int64_t e = 0; e < name.experts; ++e) {
      TensorInfo info;
      info.name = expert_tensor_name(name.checkpoint, e);
      info.dtype_text = tensor.type->name;
      info.dtype = tensor.type->dtype;
      info.format = tensor.type->format;
      info.begin = tensor.offset + e * bytes;
      info.end = info.begin + bytes;
      info.shape = {tensor.dims[1], tensor.dims[0]};
      tensors_.push_back(std::move(info));
      sources_.push_back({&tensor, Layout::kSame, e * bytes});
    }
  }

  const Source& source_of(const TensorInfo& tensor) const {
    const auto at = static_cast<size_t>(&tensor - tensors_.data());
    HOIST_CHECK(at < tensors_.size(), "a tensor of another file");
    return sources_[at];
  }

  // Units `first`..`first + count` of `unit` elements each. Where heads are permuted a unit is a row.
  void read_units(const TensorInfo& tensor, const Source& source, int64_t unit, int64_t first, int64_t count,
                  uint8_t* out) const {
    if (count == 0) return;
    const int64_t bytes = tensor.bytes() / (tensor.elements() / unit);
    if (source.layout != Layout::kHeads || unit > tensor.row_elements()) {
      file_.read(*source.tensor, source.begin + first * bytes, count * bytes, out);
      return;
    }
    std::vector<uint8_t> head(static_cast<size_t>(head_dim_ * bytes));
    for (int64_t row = first; row < first + count;) {
      const int64_t start = row / head_dim_ * head_dim_, stop = std::min(start + head_dim_, first + count);
      file_.read(*source.tensor, start * bytes, head_dim_ * bytes, head.data());
      for (; row < stop; ++row, out += bytes)
        std::memcpy(out, head.data() + (gguf_row(row, head_dim_) - start) * bytes,
                    static_cast<size_t>(bytes));
    }
  }

  // The transposed tensor that was last asked for, dense and in the shape's order: GPT-2 asks for a tensor's
  // columns one row at a time.
  std::shared_ptr<const std::vector<float>> turned_tensor(const TensorInfo& tensor,
                                                          const Source& source) const {
    const std::lock_guard lock(mutex_);
    if (turned_of_ == &tensor) return turned_;
    const int64_t in = tensor.shape[0], out = tensor.shape[1];
    auto turned = std::make_shared<std::vector<float>>(static_cast<size_t>(in * out));
    const int64_t rows =
        std::clamp<int64_t>(kPieceBytes / std::max<int64_t>(1, in * 4), 1, std::max<int64_t>(out, 1));
    std::vector<uint8_t> raw(static_cast<size_t>(tensor.bytes() / std::max<int64_t>(out, 1) * rows));
    std::vector<float> piece(static_cast<size_t>(in * rows)), staging;
    for (int64_t r = 0; r < out; r += rows) {
      const int64_t n = std::min(rows, out - r);
      read_units(tensor, source, in, r, n, raw.data());
      convert(tensor, raw.data(), DType::f32, piece.data(), n * in, staging, path() + ": " + tensor.name);
      for (int64_t i = 0; i < in; ++i)
        for (int64_t k = 0; k < n; ++k)
          (*turned)[static_cast<size_t>(i * out + r + k)] = piece[static_cast<size_t>(k * in + i)];
    }
    turned_ = std::move(turned);
    turned_of_ = &tensor;
    return turned_;
  }

  std::shared_ptr<const GgufSet> set_;
  const GgufFile& file_;
  int64_t head_dim_;
  std::vector<TensorInfo> tensors_;
  std::vector<Source> sources_;  // beside tensors_
  mutable std::mutex mutex_;
  mutable const TensorInfo* turned_of_ = nullptr;
  mutable std::shared_ptr<const std::vector<float>> turned_;
};

}  // namespace

std::string expert_tensor_name(const std::string& pattern, int64_t expert) {
  const size_t at = pattern.find("{}");
  return pattern.substr(0, at) + std::to_string(expert) + pattern.substr(at + 2);
}

namespace {

// MLP or experts of layer `g` in a file, `h` in a checkpoint.
void mlp_names(const ModelConfig& c, int64_t layer, const std::string& g, const std::string& h,
               std::vector<GgufName>& names) {
  const auto one = [&](const std::string& gguf, const std::string& checkpoint) {
    names.push_back({g + gguf + ".weight", h + checkpoint + ".weight"});
  };
  if (c.family == Family::kPhi3) {
    one("ffn_up", "mlp.gate_up_proj");
    one("ffn_down", "mlp.down_proj");
    return;
  }
  const char* kParts[][3] = {
      {"gate", "gate_proj", "w1"}, {"up", "up_proj", "w3"}, {"down", "down_proj", "w2"}};
  if (!c.moe_layer(layer)) {
    for (const auto& [part, proj, w] : kParts) {
      one(fmt::format("ffn_{}", part), fmt::format("mlp.{}", proj));
      names.push_back({fmt::format("{}ffn_{}.bias", g, part), fmt::format("{}mlp.{}.bias", h, proj)});
    }
    return;
  }
  const bool mixtral = c.family == Family::kMixtral;
  one("ffn_gate_inp", mixtral ? "block_sparse_moe.gate" : "mlp.gate");
  for (const auto& [part, proj, w] : kParts) {
    names.push_back({fmt::format("{}ffn_{}_exps.weight", g, part),
                     h + (mixtral ? "block_sparse_moe.experts.{}." : "mlp.experts.{}.") +
                         (mixtral ? w : proj) + ".weight",
                     Layout::kExperts, 0, c.experts});
    if (c.shared_intermediate > 0)
      one(fmt::format("ffn_{}_shexp", part), fmt::format("mlp.shared_expert.{}", proj));
  }
  if (c.shared_intermediate > 0) one("ffn_gate_inp_shexp", "mlp.shared_expert_gate");
}

}  // namespace

std::vector<GgufName> gguf_names(const ModelConfig& c) {
  std::vector<GgufName> names;
  const auto both = [&](const std::string& gguf, const std::string& checkpoint, Layout layout = Layout::kSame,
                        int64_t heads = 0) {
    names.push_back({gguf + ".weight", checkpoint + ".weight", layout, heads});
    names.push_back({gguf + ".bias", checkpoint + ".bias",
                     layout == Layout::kTransposed ? Layout::kSame : layout, heads});
  };
  if (c.family == Family::kGpt2) {
    names.push_back({"token_embd.weight", "transformer.wte.weight"});
    names.push_back({"position_embd.weight", "transformer.wpe.weight"});
    for (int64_t i = 0; i < c.layers; ++i) {
      const std::string g = fmt::format("blk.{}.", i), h = fmt::format("transformer.h.{}.", i);
      both(g + "attn_norm", h + "ln_1");
      both(g + "attn_qkv", h + "attn.c_attn", Layout::kTransposed);
      both(g + "attn_output", h + "attn.c_proj", Layout::kTransposed);
      both(g + "ffn_norm", h + "ln_2");
      both(g + "ffn_up", h + "mlp.c_fc", Layout::kTransposed);
      both(g + "ffn_down", h + "mlp.c_proj", Layout::kTransposed);
    }
    both("output_norm", "transformer.ln_f");
  } else {
    // Only llama's converter permutes, which is SmolLM3's too.
    const bool permuted = c.family == Family::kLlama || c.family == Family::kMistral ||
                          c.family == Family::kMixtral || c.family == Family::kSmollm3;
    const Layout turned = permuted ? Layout::kHeads : Layout::kSame;
    const Layout norm = c.norm_offset() ? Layout::kPlusOne : Layout::kSame;
    names.push_back({"token_embd.weight", "model.embed_tokens.weight"});
    for (int64_t i = 0; i < c.layers; ++i) {
      const std::string g = fmt::format("blk.{}.", i), h = fmt::format("model.layers.{}.", i);
      both(g + "attn_norm", h + "input_layernorm", norm);
      if (c.family == Family::kPhi3) {
        both(g + "attn_qkv", h + "self_attn.qkv_proj");
      } else {
        both(g + "attn_q", h + "self_attn.q_proj", turned, c.heads);
        both(g + "attn_k", h + "self_attn.k_proj", turned, c.kv_heads);
        both(g + "attn_v", h + "self_attn.v_proj");
      }
      both(g + "attn_output", h + "self_attn.o_proj");
      both(g + "attn_q_norm", h + "self_attn.q_norm", norm);
      both(g + "attn_k_norm", h + "self_attn.k_norm", norm);
      if (c.post_norms()) {
        both(g + "post_attention_norm", h + "post_attention_layernorm", norm);
        both(g + "ffn_norm", h + "pre_feedforward_layernorm", norm);
        both(g + "post_ffw_norm", h + "post_feedforward_layernorm", norm);
      } else {
        both(g + "ffn_norm", h + "post_attention_layernorm");
      }
      mlp_names(c, i, g, h, names);
    }
    both("output_norm", "model.norm", norm);
  }
  names.push_back({"output.weight", "lm_head.weight"});
  return names;
}

std::vector<std::unique_ptr<TensorFile>> open_gguf_tensors(std::shared_ptr<const GgufSet> set,
                                                           const ModelConfig& config) {
  std::vector<std::unique_ptr<TensorFile>> out;
  for (const auto& part : set->parts()) out.push_back(std::make_unique<GgufTensors>(set, *part, config));
  return out;
}

}  // namespace hoist::io
