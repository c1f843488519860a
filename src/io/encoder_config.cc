#include "io/encoder_config.h"

#include <fmt/format.h>

#include <charconv>

#include "base/error.h"
#include "io/config/family.h"
#include "io/files.h"

namespace hoist::io {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;
constexpr int64_t kMaxLabels = 100000;

struct TypeName {
  std::string_view name;
  EncoderFamily family;
};
constexpr TypeName kTypes[] = {{"bert", EncoderFamily::kBert},
                               {"roberta", EncoderFamily::kRoberta},
                               {"xlm-roberta", EncoderFamily::kRoberta},
                               {"camembert", EncoderFamily::kRoberta},
                               {"distilbert", EncoderFamily::kDistilBert}};

JsonDocument parse_object(std::string_view json, const std::string& source) {
  JsonOptions options;
  options.max_bytes = kMaxConfigBytes;
  JsonDocument doc = JsonDocument::parse(json, source, options);
  if (!doc.root().is_object()) doc.root().refuse("an object");
  return doc;
}

// Classes whose body, with or without this head, is an encoder; a language model's head is left unread.
bool is_encoder_class(std::string_view name) {
  for (std::string_view end : {"Model", "ForMaskedLM", "ForPreTraining", "ForSequenceClassification"})
    if (name.ends_with(end)) return true;
  return false;
}

void read_labels(const Json& root, EncoderConfig& config) {
  int64_t count = 2;  // what the class has when the file is silent
  if (const auto labels = root.find("num_labels")) count = labels->as_int(1, kMaxLabels);
  if (const auto names = root.find("id2label"); names && !names->is_null()) {
    count = static_cast<int64_t>(names->size());
    if (count < 1 || count > kMaxLabels) names->refuse("between one label and 100000");
  }
  if (!config.classifies) return;
  for (int64_t i = 0; i < count; ++i) config.labels.push_back("LABEL_" + std::to_string(i));
  const auto names = root.find("id2label");
  if (!names || names->is_null()) return;
  // Keys differ and there are `count` of them, so if all are in range, all are there.
  for (const JsonMember& m : names->members()) {
    int64_t i = -1;
    std::from_chars(m.key.data(), m.key.data() + m.key.size(), i);
    if (i < 0 || i >= count || std::to_string(i) != m.key)
      names->fail(
          ErrorCode::kInvalidArgument,
          fmt::format("found key {}, expected whole numbers from 0 to {}, the number of labels less one",
                      json_quote(m.key.substr(0, 80)), count - 1));
    config.labels[static_cast<size_t>(i)] = m.value.as_string();
  }
}

void read_shape(const Json& root, EncoderConfig& c) {
  ModelConfig shared;  // for the getters that fill one
  shared.activation = Activation::kGelu;
  if (c.family == EncoderFamily::kDistilBert) {
    c.vocab = root.get_int("vocab_size", 1, kMaxVocab);
    c.hidden = root.get_int("dim", 1, kMaxWidth);
    c.intermediate = root.get_int("hidden_dim", 1, kMaxIntermediate);
    c.layers = root.get_int("n_layers", 1, kMaxLayers);
    c.heads = root.get_int("n_heads", 1, kMaxHeads);
    c.positions = root.get_int("max_position_embeddings", 1, kMaxPositions);
    require_neutral(root, "sinusoidal_pos_embds", "false");
    read_activation(root, "activation", shared);
  } else {
    c.vocab = root.get_int("vocab_size", 1, kMaxVocab);
    c.hidden = root.get_int("hidden_size", 1, kMaxWidth);
    c.intermediate = root.get_int("intermediate_size", 1, kMaxIntermediate);
    c.layers = root.get_int("num_hidden_layers", 1, kMaxLayers);
    c.heads = root.get_int("num_attention_heads", 1, kMaxHeads);
    c.positions = root.get_int("max_position_embeddings", 1, kMaxPositions);
    c.types = root.get_int_or("type_vocab_size", 2, 0, kMaxVocab);
    read_double(root, "layer_norm_eps", c.norm_eps, 0, 1);
    require_neutral(root, "position_embedding_type", "\"absolute\"");
    require_neutral(root, "is_decoder", "false");
    require_neutral(root, "add_cross_attention", "false");
    read_activation(root, "hidden_act", shared);
  }
  c.activation = shared.activation;
  if (c.hidden % c.heads != 0)
    root.fail(ErrorCode::kInvalidArgument,
              fmt::format("hidden_size: found {}, expected a multiple of num_attention_heads ({})", c.hidden,
                          c.heads));
  if (c.head_dim() > kMaxHeadDim)
    root.fail(ErrorCode::kInvalidArgument,
              fmt::format("hidden_size / num_attention_heads: found {}, expected at most {}", c.head_dim(),
                          kMaxHeadDim));
  if (c.family == EncoderFamily::kRoberta)
    c.first_position = int_or(root, "pad_token_id", 1, 0, kMaxVocab) + 1;
  if (c.first_position >= c.positions)
    root.fail(ErrorCode::kInvalidArgument,
              fmt::format("max_position_embeddings: found {}, expected more than pad_token_id + 1 ({})",
                          c.positions, c.first_position));
}

void read_dtype(const Json& root, EncoderConfig& c) {
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto value = root.find(key);
    if (!value || value->is_null()) continue;
    const std::string_view name = value->as_string();
    if (name == "float32") c.dtype = DType::f32;
    if (name == "bfloat16") c.dtype = DType::bf16;
    if (name == "float16") c.dtype = DType::f16;
  }
}

}  // namespace

bool is_encoder_folder(const std::string& folder) {
  const std::string path = join_path(folder, "config.json");
  if (!is_directory(folder) || !path_exists(path)) return false;
  try {
    const JsonDocument doc = parse_object(read_file(path, kMaxConfigBytes), path);
    const auto type = doc.root().find("model_type");
    if (!type || !type->is_string()) return false;
    for (const TypeName& t : kTypes)
      if (type->as_string() == t.name) return true;
  } catch (const Error&) {  // whoever opens it will say what is wrong
  }
  return false;
}

EncoderConfig parse_encoder_config(std::string_view json, const std::string& source) {
  const JsonDocument doc = parse_object(json, source);
  const Json root = doc.root();
  EncoderConfig config;
  const Json type = root.at("model_type");
  bool known = false;
  for (const TypeName& t : kTypes) {
    if (type.as_string() != t.name) continue;
    known = true;
    config.family = t.family;
    config.model_type = t.name;
  }
  if (!known)
    type.fail(ErrorCode::kUnsupported,
              fmt::format("found {}, expected bert, roberta, xlm-roberta, camembert or distilbert",
                          type.excerpt()));
  if (const auto classes = root.find("architectures"); classes && !classes->is_null())
    for (const Json name : classes->elements()) {
      if (!is_encoder_class(name.as_string()))
        name.fail(ErrorCode::kUnsupported,
                  fmt::format("found {}, expected a class that ends in Model, ForMaskedLM, ForPreTraining or "
                              "ForSequenceClassification",
                              name.excerpt()));
      config.classifies |= name.as_string().ends_with("ForSequenceClassification");
    }
  read_shape(root, config);
  read_labels(root, config);
  read_bool(root, "is_matryoshka", config.matryoshka);
  if (const auto list = root.find("matryoshka_dimensions"); list && !list->is_null())
    config.matryoshka = true;
  read_dtype(root, config);
  require_neutral(root, "is_encoder_decoder", "false");
  require_neutral(root, "quantization_config", "null");
  // Probabilities of training, heads that are not ours, and what the wrappers of these models write.
  static constexpr std::string_view kBenign[] = {"hidden_dropout_prob",
                                                 "attention_probs_dropout_prob",
                                                 "classifier_dropout",
                                                 "dropout",
                                                 "attention_dropout",
                                                 "qa_dropout",
                                                 "seq_classif_dropout",
                                                 "initializer_range",
                                                 "tie_weights_",
                                                 "gradient_checkpointing",
                                                 "use_cache",
                                                 "pooler_num_attention_heads",
                                                 "pooler_fc_size",
                                                 "pooler_num_fc_layers",
                                                 "pooler_size_per_head",
                                                 "pooler_type",
                                                 "directionality",
                                                 "sentence_transformers",
                                                 "sbert_ce_default_activation_function",
                                                 "output_attentions",
                                                 "use_bfloat16",
                                                 "pruned_heads",
                                                 "torchscript",
                                                 "tie_word_embeddings",
                                                 "label2id",
                                                 "problem_type",
                                                 "attn_implementation"};
  keep_the_rest(root, kBenign);
  return config;
}

EncoderConfig load_encoder_config(const std::string& folder) {
  const std::string path = join_path(folder, "config.json");
  return parse_encoder_config(read_file(path, kMaxConfigBytes), path);
}

PoolingConfig parse_pooling(std::string_view json, const std::string& source) {
  const JsonDocument doc = parse_object(json, source);
  const Json root = doc.root();
  struct Mode {
    std::string_view key;
    std::optional<Pooling> pooling;
  };
  static constexpr Mode kModes[] = {
      {"pooling_mode_cls_token", Pooling::kCls},          {"pooling_mode_mean_tokens", Pooling::kMean},
      {"pooling_mode_max_tokens", Pooling::kMax},         {"pooling_mode_mean_sqrt_len_tokens", std::nullopt},
      {"pooling_mode_weightedmean_tokens", std::nullopt}, {"pooling_mode_lasttoken", std::nullopt}};
  PoolingConfig config;
  int chosen = 0;
  if (const auto mode = root.find("pooling_mode"); mode && !mode->is_null()) {  // the newer spelling
    ++chosen;
    const std::string_view name = mode->as_string();
    if (name == "cls")
      config.pooling = Pooling::kCls;
    else if (name == "mean")
      config.pooling = Pooling::kMean;
    else if (name == "max")
      config.pooling = Pooling::kMax;
    else
      mode->fail(ErrorCode::kUnsupported,
                 fmt::format("found {}, expected cls, mean or max", mode->excerpt()));
  }
  for (const Mode& mode : kModes) {
    const auto value = root.find(mode.key);
    if (!value || !value->as_bool()) continue;
    if (!mode.pooling)
      value->fail(ErrorCode::kUnsupported, "found true; supported are the class token, mean and max");
    config.pooling = *mode.pooling;
    ++chosen;
  }
  if (chosen != 1) root.fail(ErrorCode::kUnsupported, fmt::format("found {} poolings, expected one", chosen));
  return config;
}

PoolingConfig load_pooling_config(const std::string& folder) {
  PoolingConfig config;
  const std::string list = join_path(folder, "modules.json");
  if (!path_exists(list)) return config;
  JsonOptions options;
  options.max_bytes = kMaxConfigBytes;
  const JsonDocument doc = JsonDocument::parse(read_file(list, kMaxConfigBytes), list, options);
  for (const Json module : doc.root().elements()) {
    const Json type = module.at("type");
    const std::string_view name = type.as_string();
    const std::string path(module.get_string("path"));
    if (path.find("..") != std::string::npos || path.starts_with("/"))
      module.at("path").refuse("a folder inside the model's");
    if (name.ends_with(".Transformer")) continue;
    if (name.ends_with(".Pooling")) {
      const std::string file = join_path(join_path(folder, path), "config.json");
      const bool normalize = config.normalize;
      config = parse_pooling(read_file(file, kMaxConfigBytes), file);
      config.normalize = normalize;
      config.folder = path;
    } else if (name.ends_with(".Normalize")) {
      config.normalize = true;
    } else {
      type.fail(ErrorCode::kUnsupported,
                fmt::format("found {}, expected Transformer, Pooling or Normalize", type.excerpt()));
    }
  }
  const std::string sentence = join_path(folder, "sentence_bert_config.json");
  if (path_exists(sentence)) {
    const JsonDocument more = parse_object(read_file(sentence, kMaxConfigBytes), sentence);
    if (const auto length = more.root().find("max_seq_length"); length && !length->is_null())
      config.max_tokens = length->as_int(1, kMaxPositions);
  }
  return config;
}

}  // namespace hoist::io
