#include "decode/chat_source.h"

#include "base/error.h"
#include "io/files.h"

namespace hoist::decode {
namespace {

constexpr size_t kMaxTemplate = size_t{1} << 20, kMaxConfig = size_t{64} << 20;
constexpr const char* kNone = "this model has no chat template; its prompts are plain text";

std::optional<text::ChatTemplate> from_gguf(const Model& model) {
  const io::GgufMetadata& metadata = model.gguf->metadata();
  constexpr std::string_view kKey = "tokenizer.chat_template";
  std::map<std::string, std::string> texts;
  for (const auto& [key, value] : metadata.entries()) {
    if (!key.starts_with(kKey) || key == "tokenizer.chat_templates") continue;
    const std::string_view rest = std::string_view(key).substr(kKey.size());
    if (rest.empty())
      texts["default"] = *metadata.text(key);
    else if (rest[0] == '.')
      texts[std::string(rest.substr(1))] = *metadata.text(key);
  }
  if (texts.empty()) return std::nullopt;
  text::ChatTemplate::SpecialTokens tokens;
  for (const char* name : {"bos", "eos", "unk", "pad"}) {
    const std::string part = std::string(name) == "unk"   ? "unknown"
                             : std::string(name) == "pad" ? "padding"
                                                          : name;
    const auto id = metadata.integer("tokenizer.ggml." + part + "_token_id", 0, INT32_MAX);
    const auto token = id ? model.tokenizer->id_to_token(static_cast<int32_t>(*id)) : std::nullopt;
    if (token) tokens[std::string(name) + "_token"] = *token;
  }
  return text::ChatTemplate::from_texts(texts, std::move(tokens),
                                        metadata.source() + ": " + std::string(kKey));
}

std::optional<text::ChatTemplate> from_folder(const std::string& folder) {
  const std::string config = io::join_path(folder, "tokenizer_config.json");
  const std::string own = io::join_path(folder, "chat_template.jinja");
  const std::string json = io::path_exists(config) ? io::read_file(config, kMaxConfig) : "{}";
  if (!io::path_exists(own)) {
    try {
      return text::ChatTemplate::from_config(json, config);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kNotFound) return std::nullopt;
      throw;
    }
  }
  std::map<std::string, std::string> texts = {{"default", io::read_file(own, kMaxTemplate)}};
  const std::string more = io::join_path(folder, "additional_chat_templates");
  if (io::is_directory(more))
    for (const std::string& name : io::list_dir(more))
      if (name.ends_with(".jinja"))
        texts.emplace(name.substr(0, name.size() - 6),
                      io::read_file(io::join_path(more, name), kMaxTemplate));
  return text::ChatTemplate::from_texts(texts, text::ChatTemplate::special_tokens_of(json, config), own);
}

}  // namespace

ChatSource load_chat_template(const Model& model) {
  ChatSource source;
  try {
    source.chat = model.gguf ? from_gguf(model) : from_folder(model.folder);
    if (!source.chat) source.problem = kNone;
  } catch (const Error& e) {
    source.problem = e.what();
  }
  return source;
}

}  // namespace hoist::decode
