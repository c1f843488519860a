#include "serve/preparer.h"

#include <algorithm>
#include <ctime>
#include <random>

#include "base/error.h"
#include "serve/tool_style.h"

namespace hoist::serve {
namespace {

using text::jinja::Value;

constexpr std::string_view kThink = "<think>", kThinkEnd = "</think>";

uint64_t random_seed() { return (uint64_t{std::random_device{}()} << 32) | std::random_device{}(); }

// Whether the prompt leaves the model thinking.
bool opens_reasoning(std::string_view prompt) {
  const size_t end = prompt.find_last_not_of(" \t\r\n");
  return end != std::string_view::npos && prompt.substr(0, end + 1).ends_with(kThink);
}

Value with_system_role(const Value& messages) {
  std::vector<Value> out;
  for (const Value& message : messages.items()) {
    const Value* role = message.find("role");
    const bool developer = role && role->is_string() && role->as_string() == "developer";
    out.push_back(developer ? message.with("role", Value::string("system")) : message);
  }
  return Value::list(std::move(out));
}

}  // namespace

Preparer::Preparer(const decode::Model& model, int64_t context, int64_t longest)
    : model_(model),
      context_(context),
      longest_(longest),
      source_(decode::load_chat_template(model)),
      infill_(find_infill_tokens(*model.tokenizer)),
      constraints_(*model.tokenizer, model.eos_ids) {}

int32_t Preparer::check_id(int64_t id, const char* field) const {
  if (id < 0 || id >= model_.config.vocab)
    throw http::FieldError(
        ErrorCode::kInvalidArgument, field,
        "found token id " + std::to_string(id) + ", expected 0.." + std::to_string(model_.config.vocab - 1));
  return static_cast<int32_t>(id);
}

std::string Preparer::render(const http::ChatPrompt& chat) const {
  if (!source_.chat) throw http::NotSupportedError(source_.problem + "; use /v1/completions");
  const bool tools = !chat.tools.empty() && chat.choice != http::ToolChoice::kNone;
  if (tools && !source_.chat->mentions("tools"))
    throw http::FieldError(ErrorCode::kUnsupported, "tools",
                           "this model's chat template does not know tools");
  text::ChatInput input;
  input.messages = Value::from_json(chat.messages, "messages");
  // The API's newer name of a role that most templates know by the older one.
  if (!source_.chat->contains("developer")) input.messages = with_system_role(input.messages);
  if (tools) input.tools = Value::from_json(chat.tools_json, "tools");
  input.add_generation_prompt = chat.add_generation_prompt;
  input.continue_final_message = chat.continue_final_message;
  if (!chat.variables.empty()) {
    const Value variables = Value::from_json(chat.variables, "chat_template_kwargs");
    for (const auto& [key, value] : variables.entries()) {
      if (!source_.chat->mentions(key.as_string()))
        throw http::FieldError(
            ErrorCode::kUnsupported,
            key.as_string() == "reasoning_effort" ? "reasoning_effort" : "chat_template_kwargs",
            "this model's chat template does not know '" + key.as_string() + "'");
      input.variables.emplace_back(key.as_string(), value);
    }
  }
  text::jinja::RenderOptions options;
  options.now_unix_seconds = static_cast<int64_t>(std::time(nullptr));
  try {
    return source_.chat->render(input, options).text;
  } catch (const Error& e) {
    throw http::FieldError(ErrorCode::kInvalidArgument, "messages", e.what());
  }
}

std::vector<int32_t> Preparer::prompt_of(const http::CompletionRequest& r, Prepared& out) {
  std::vector<int32_t> ids;
  const auto bare_start = [&](int32_t id, std::string_view text) {
    return token_bytes(id).starts_with(' ') && !text.starts_with(' ');
  };
  if (r.chat) {
    const std::string prompt = render(*r.chat);
    AnswerStyle style;
    style.reasoning = r.chat->parse_reasoning && source_.chat->contains(kThinkEnd);
    style.in_reasoning = style.reasoning && opens_reasoning(prompt);
    if (!r.chat->tools.empty() && r.chat->choice != http::ToolChoice::kNone)
      style.tools = tool_style_of(*source_.chat);
    if (style.tools == ToolStyle::kXml)
      style.texts = std::make_shared<const TextParameters>(text_parameters(r.chat->tools));
    out.style = style;
    for (const std::string_view mark :
         {kThink, kThinkEnd, std::string_view("<tool_call>"), std::string_view("</tool_call>"),
          std::string_view("[TOOL_CALLS]"), std::string_view("[ARGS]"), std::string_view("<|python_tag|>"),
          DeepSeekCall::kCallsBegin, DeepSeekCall::kCallsEnd, DeepSeekCall::kBegin, DeepSeekCall::kEnd,
          DeepSeekCall::kSeparator}) {
      const bool thinks = mark == kThink || mark == kThinkEnd;
      if (thinks ? !style.reasoning : style.tools == ToolStyle::kNone) continue;
      const auto id = model_.tokenizer->token_to_id(mark);
      if (id && model_.tokenizer->is_special(*id)) out.stream.shown.push_back(*id);
    }
    // The template has written the special tokens.
    ids = decode::encode_prompt(model_, prompt, false);
  } else if (r.suffix) {
    if (!infill_) throw http::NotSupportedError("this model's vocabulary has no tokens to fill in text with");
    // Where the answer may be of any length, the other files leave it a quarter of the context.
    const int64_t answer = std::min(r.max_tokens, longest_ / 4);
    ids = infill_prompt(*model_.tokenizer, *infill_, r.prompt, *r.suffix, r.extra, longest_ - answer - 1);
  } else if (!r.prompt_ids.empty()) {
    for (const int64_t id : r.prompt_ids) ids.push_back(check_id(id, "prompt"));
    if (r.echo) out.prompt_text = model_.tokenizer->decode(ids, false);
    out.bare_start = bare_start(ids[0], out.prompt_text);
  } else {
    ids = decode::encode_prompt(model_, r.prompt);
    const auto unwritten = [&](int32_t id) {
      return model_.tokenizer->is_special(id) &&
             !std::string_view(r.prompt).starts_with(model_.tokenizer->id_to_token(id).value_or(""));
    };
    while (out.unwritten < ids.size() && unwritten(ids[out.unwritten])) ++out.unwritten;
    out.bare_start = out.unwritten < ids.size() && bare_start(ids[out.unwritten], r.prompt);
  }
  return ids;
}

void Preparer::constrain(const http::CompletionRequest& r, int64_t room, Prepared& out) {
  std::shared_ptr<const text::Constraint> constraint;
  decode::GuideMarker marker;
  if (r.format.kind != http::AnswerFormat::Kind::kFree) {
    constraint = constraints_.get(r.format);
  } else if (r.chat && !r.chat->tools.empty() &&
             (r.chat->choice == http::ToolChoice::kRequired || r.chat->choice == http::ToolChoice::kNamed)) {
    std::vector<http::Tool> tools = r.chat->tools;
    if (r.chat->choice == http::ToolChoice::kNamed)
      std::erase_if(tools, [&](const http::Tool& t) { return t.name != r.chat->tool_name; });
    const bool several = r.chat->choice == http::ToolChoice::kRequired && r.chat->parallel_tool_calls;
    const auto calls = [&] {
      try {
        return forced_calls(tools, several, out.style->tools, *source_.chat);
      } catch (const Error& e) {
        throw http::FieldError(e.code(), "tools", e.what());
      }
    };
    constraint = constraints_.get(calls(), "tools");
  } else {
    return;
  }
  if (out.style && out.style->in_reasoning) {
    marker.text = kThinkEnd;
    marker.tokens = model_.tokenizer->encode(kThinkEnd, false);
  } else if (out.style) {
    out.style->reasoning = false;  // the grammar leaves no room for it
  }
  const uint64_t least = decode::Guide::min_tokens(*constraint, marker);
  const int64_t most = std::min(r.max_tokens, room);
  if (static_cast<uint64_t>(most) < least)
    throw http::FieldError(ErrorCode::kInvalidArgument, "max_tokens",
                           "found room for " + std::to_string(most) + " tokens, expected at least " +
                               std::to_string(least) + ", which the shortest answer of this format takes");
  for (decode::SequenceRequest& s : out.sequences)
    s.guide = std::make_shared<decode::Guide>(constraint, marker);
}

Prepared Preparer::prepare(http::CompletionRequest r) {
  Prepared out;
  out.stream.stops = std::move(r.stop);
  decode::SequenceRequest s;
  s.prompt = prompt_of(r, out);
  const int64_t n = static_cast<int64_t>(s.prompt.size());
  if (n >= longest_) throw http::ContextLengthError(n, std::min(context_, longest_));
  out.silent = r.max_tokens == 0;
  s.max_tokens = std::clamp<int64_t>(r.max_tokens, 1, longest_ - n);
  s.min_tokens = r.min_tokens;
  s.ignore_eos = r.ignore_eos;
  s.logprobs = out.silent ? -1 : r.logprobs;
  s.prompt_logprobs = r.prompt_logprobs;
  s.scope = r.scope;
  s.tenant = static_cast<int32_t>(r.scope);  // a number from 1 to that of the keys
  s.priority = static_cast<int32_t>(r.priority);
  s.adapter = r.adapter;
  for (const int64_t id : r.stop_token_ids) s.stop_tokens.push_back(check_id(id, "stop_token_ids"));
  if (r.suffix) s.stop_tokens.insert(s.stop_tokens.end(), infill_->ends.begin(), infill_->ends.end());
  decode::SamplingParams& p = s.sampling;
  p.temperature = r.temperature;
  p.top_p = r.top_p;
  p.top_k = r.top_k;
  p.min_p = r.min_p;
  p.repeat_penalty = r.repeat_penalty;
  p.presence_penalty = r.presence_penalty;
  p.frequency_penalty = r.frequency_penalty;
  for (const auto& [id, bias] : r.logit_bias) p.logit_bias.emplace_back(check_id(id, "logit_bias"), bias);
  const uint64_t seed = r.seed ? *r.seed : random_seed();
  for (int64_t i = 0; i < r.n; ++i) {
    out.sequences.push_back(s);
    out.sequences.back().sampling.seed = seed + static_cast<uint64_t>(i);
    out.sequences.back().sampling.check();
  }
  constrain(r, longest_ - n, out);
  // The text goes on with the prompt's, except where a chat's answer or a text from nothing begins.
  out.stream.at_start = (r.chat && !out.sequences.front().guide && !r.chat->continue_final_message) ||
                        (!r.chat && !r.suffix && r.prompt.empty() && r.prompt_ids.empty());
  if (out.style) out.style->id_seed = random_seed();
  return out;
}

std::string Preparer::token_bytes(int32_t id) const {
  if (std::string bytes = model_.tokenizer->bytes_of(id); !bytes.empty()) return bytes;
  return std::string(model_.tokenizer->id_to_token(id).value_or(""));
}

http::TokenizeResult Preparer::tokenize(const http::TokenizeRequest& request) const {
  http::TokenizeResult out;
  out.text = request.chat ? render(*request.chat) : request.text;
  const bool special = request.add_special_tokens.value_or(!request.chat);
  for (const int32_t id : model_.tokenizer->encode(out.text, special)) {
    out.ids.push_back(id);
    out.pieces.push_back(token_bytes(id));
  }
  return out;
}

http::TokenizeResult Preparer::detokenize(const std::vector<int64_t>& ids) const {
  std::vector<int32_t> tokens;
  for (const int64_t id : ids) tokens.push_back(check_id(id, "tokens"));
  http::TokenizeResult out;
  out.text = model_.tokenizer->decode(tokens, false);
  return out;
}

}  // namespace hoist::serve
