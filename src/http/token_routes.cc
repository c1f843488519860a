// See token_routes.h. Shapes: llama-server's and vLLM's own references.
#include "http/token_routes.h"

#include "http/api_error.h"
#include "http/chat_request.h"
#include "http/completions.h"
#include "io/json_value.h"

namespace hoist::http {
namespace {

using io::Json;
using io::JsonValue;

constexpr const char* kTokenizeSchema = R"({"type":"object","properties":{
"content":{"type":"string"},"prompt":{"type":"string"},"messages":{"type":"array","items":{"type":"object"}},
"tools":{"type":"array"},"add_special":{"type":"boolean"},"add_special_tokens":{"type":"boolean"},
"with_pieces":{"type":"boolean"},"return_token_strs":{"type":"boolean"},"model":{"type":"string"}},
"oneOf":[{"required":["content"]},{"required":["prompt"]},{"required":["messages"]}]})";
constexpr const char* kDetokenizeSchema = R"({"type":"object","required":["tokens"],"properties":{
"tokens":{"type":"array","items":{"type":"integer","minimum":0}},"model":{"type":"string"}}})";
constexpr const char* kTemplateSchema = R"({"type":"object","required":["messages"],"properties":{
"messages":{"type":"array","items":{"type":"object"}},"tools":{"type":"array"},
"chat_template_kwargs":{"type":"object"},"add_generation_prompt":{"type":"boolean"},"model":{"type":"string"}}})";

// Calls `read` for each member that is not null; it returns false for a field it does not know.
void read_members(const Request& request, size_t max_bytes,
                  const std::function<bool(std::string_view, const Json&)>& read) {
  io::JsonOptions options;
  options.max_bytes = max_bytes;
  options.syntax_error = ErrorCode::kInvalidArgument;
  const auto document = [&] {
    try {
      return io::JsonDocument::parse(request.body, "request body", options);
    } catch (const Error& error) {
      throw ApiError(400, error.what(), "", "invalid_json");
    }
  }();
  if (!document.root().is_object())
    throw ApiError(400, "request body: expected a JSON object", "", "invalid_json");
  for (const auto& [key, value] : document.root().members()) {
    try {
      if (!value.is_null() && !read(key, value)) value.fail(ErrorCode::kUnsupported, "unknown field");
    } catch (const Error& error) {
      throw ApiError(400, error.what(), std::string(key), std::string(error_code_name(error.code())));
    }
  }
}

// A piece as llama-server shows it: text, or the list of bytes of what is none.
JsonValue piece_json(const std::string& piece) {
  bool ascii = true;
  for (const char c : piece) ascii = ascii && static_cast<unsigned char>(c) < 0x80;
  const std::string text = JsonValue(piece).dump();
  if (ascii || text.find("\xEF\xBF\xBD") == std::string::npos) return JsonValue(piece);
  JsonValue bytes = JsonValue::array();
  for (const char c : piece) bytes.push_back(static_cast<int>(static_cast<unsigned char>(c)));
  return bytes;
}

// Answers on the io thread with what `make` makes of the result.
std::function<void(TokenizeResult)> answer(const Poster& poster, const ExchangePtr& exchange,
                                           std::function<JsonValue(const TokenizeResult&)> make) {
  return [poster, exchange, make = std::move(make)](TokenizeResult result) {
    poster.post([exchange, make, result = std::move(result)] {
      Response response;
      try {
        if (result.error) std::rethrow_exception(result.error);
        response.body = make(result).dump();
      } catch (...) {
        response = error_response(current_api_error());
      }
      exchange->respond(std::move(response));
    });
  };
}

// The model that a body names, if it is served.
std::string read_model(const Json& value, const CompletionEngine& engine) {
  std::string asked(value.as_string());
  check_served(engine, asked);
  return asked;
}

}  // namespace

TokenRoutes::TokenRoutes(CompletionEngine& engine, Server& server, size_t max_body_bytes)
    : engine_(engine), poster_(server.poster()), max_body_bytes_(max_body_bytes) {}

void TokenRoutes::add_routes(Router& router) {
  const auto add = [&](const char* path, void (TokenRoutes::*handler)(const Request&, const ExchangePtr&),
                       RouteDoc doc) {
    router.add(
        "POST", path,
        [this, handler](const Request& request, const ExchangePtr& exchange) {
          check_content_type(request);
          (this->*handler)(request, exchange);
        },
        std::move(doc));
  };
  add("/tokenize", &TokenRoutes::tokenize, {"A text, or a conversation, as tokens", kTokenizeSchema, ""});
  add("/detokenize", &TokenRoutes::detokenize, {"Tokens as text", kDetokenizeSchema, ""});
  add("/apply-template", &TokenRoutes::apply_template, {"The prompt of a conversation", kTemplateSchema, ""});
}

void TokenRoutes::tokenize(const Request& request, const ExchangePtr& exchange) {
  enum class Form { kNone, kContent, kPrompt, kMessages } form = Form::kNone;
  TokenizeRequest wanted;
  ConversationReader conversation;
  bool pieces = false, strings = false, special_named = false;
  const auto take = [&](Form as) {
    if (form != Form::kNone) throw_invalid("request body: expected one of content, prompt and messages");
    form = as;
  };
  read_members(request, max_body_bytes_, [&](std::string_view key, const Json& value) {
    if (key == "content" || key == "prompt") {
      take(key == "content" ? Form::kContent : Form::kPrompt);
      wanted.text = value.as_string();
    } else if (key == "messages") {
      take(Form::kMessages);
      conversation.read(key, value);
    } else if (key == "add_special" || key == "add_special_tokens") {
      wanted.add_special_tokens = value.as_bool();
      special_named = true;
    } else if (key == "with_pieces") {
      pieces = value.as_bool();
    } else if (key == "return_token_strs") {
      strings = value.as_bool();
    } else if (key == "parse_special") {
      if (!value.as_bool())
        value.fail(ErrorCode::kUnsupported, "found false, expected true: special tokens are always read");
    } else if (key == "model") {
      wanted.model = read_model(value, engine_);
    } else {
      return conversation.read(key, value);
    }
    return true;
  });
  if (form == Form::kNone)
    throw ApiError(400, "request body: content: missing (or prompt, or messages)", "content",
                   "missing_field");
  if (form == Form::kMessages) wanted.chat = std::make_shared<const ChatPrompt>(conversation.finish());
  // llama-server adds special tokens only when asked to.
  if (form == Form::kContent && !special_named) wanted.add_special_tokens = false;
  const int64_t longest = engine_.info().max_model_len;
  engine_.tokenize(std::move(wanted), answer(poster_, exchange, [=](const TokenizeResult& result) {
                     JsonValue tokens = JsonValue::array();
                     for (size_t i = 0; i < result.ids.size(); ++i) {
                       JsonValue id = result.ids[i];
                       if (pieces) id = {{"id", result.ids[i]}, {"piece", piece_json(result.pieces[i])}};
                       tokens.push_back(std::move(id));
                     }
                     JsonValue out = JsonValue::object();
                     if (form != Form::kContent) {
                       out["count"] = result.ids.size();
                       out["max_model_len"] = longest;
                     }
                     out["tokens"] = std::move(tokens);
                     if (strings) out["token_strs"] = result.pieces;
                     return out;
                   }));
}

void TokenRoutes::detokenize(const Request& request, const ExchangePtr& exchange) {
  DetokenizeRequest wanted;
  bool given = false;
  read_members(request, max_body_bytes_, [&](std::string_view key, const Json& value) {
    if (key == "tokens") {
      given = true;
      for (const Json id : value.elements()) wanted.ids.push_back(id.as_int(0, INT32_MAX));
    } else if (key == "model") {
      wanted.model = read_model(value, engine_);
    } else {
      return false;
    }
    return true;
  });
  if (!given) throw ApiError(400, "request body: tokens: missing", "tokens", "missing_field");
  engine_.detokenize(std::move(wanted), answer(poster_, exchange, [](const TokenizeResult& result) {
                       return JsonValue{{"content", result.text}, {"prompt", result.text}};
                     }));
}

void TokenRoutes::apply_template(const Request& request, const ExchangePtr& exchange) {
  ConversationReader conversation;
  TokenizeRequest wanted;
  read_members(request, max_body_bytes_, [&](std::string_view key, const Json& value) {
    if (key != "model") return conversation.read(key, value);
    wanted.model = read_model(value, engine_);
    return true;
  });
  wanted.chat = std::make_shared<const ChatPrompt>(conversation.finish());
  engine_.tokenize(std::move(wanted), answer(poster_, exchange, [](const TokenizeResult& result) {
                     return JsonValue{{"prompt", result.text}};
                   }));
}

}  // namespace hoist::http
