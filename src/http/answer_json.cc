// See answer_json.h. Shapes: OpenAI API reference; reasoning_content as vLLM and llama-server write it.
#include "http/answer_json.h"

#include <algorithm>
#include <cstdio>
#include <span>

namespace hoist::http {
namespace {

using io::JsonValue;

// Length of the well-formed UTF-8 at `at`, or 0.
size_t utf8_length(std::string_view s, size_t at) {
  const auto byte = [&](size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const unsigned lead = byte(at), next = byte(at + 1);
  const auto tail = [&](size_t i) { return (byte(at + i) & 0xC0) == 0x80; };
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return tail(1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool low = lead == 0xE0 ? next >= 0xA0 : lead == 0xED ? next < 0xA0 : true;
    return tail(1) && low && tail(2) ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool low = lead == 0xF0 ? next >= 0x90 : lead == 0xF4 ? next < 0x90 : true;
    return tail(1) && low && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

// A token alone: its text, or "bytes:\xe2\x80" for a part of a character.
std::string shown(std::string_view bytes) {
  size_t at = 0;
  while (at < bytes.size()) {
    const size_t n = utf8_length(bytes, at);
    if (n == 0) break;
    at += n;
  }
  if (at == bytes.size()) return std::string(bytes);
  std::string out = "bytes:";
  for (const char c : bytes) {
    char hex[8];
    std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned char>(c));
    out += hex;
  }
  return out;
}

size_t characters(std::string_view text) {
  size_t n = 0;
  for (const char c : text) n += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return n;
}

// JSON has no -inf.
double finite(double logprob) { return std::max(logprob, -9999.0); }

std::span<const TokenText> first(const std::vector<TokenText>& list, int64_t most) {
  return std::span(list).first(std::min(list.size(), static_cast<size_t>(std::max<int64_t>(most, 0))));
}

JsonValue chat_token(const TokenText& t) {
  JsonValue bytes = JsonValue::array();
  for (const char c : t.bytes) bytes.push_back(static_cast<int>(static_cast<unsigned char>(c)));
  return {{"token", shown(t.bytes)}, {"logprob", finite(t.logprob)}, {"bytes", std::move(bytes)}};
}

JsonValue chat_logprobs(const std::vector<TokenLogprobs>& list) {
  JsonValue content = JsonValue::array();
  for (const TokenLogprobs& step : list) {
    JsonValue one = chat_token(step.chosen);
    JsonValue top = JsonValue::array();
    for (const TokenText& t : step.top) top.push_back(chat_token(t));
    one["top_logprobs"] = std::move(top);
    content.push_back(std::move(one));
  }
  JsonValue out = {{"content", std::move(content)}};
  out["refusal"] = nullptr;
  return out;
}

JsonValue completion_logprobs(std::span<const TokenLogprobs> prompt, std::span<const TokenLogprobs> said,
                              int64_t most, size_t& offset) {
  JsonValue tokens = JsonValue::array(), values = JsonValue::array(), tops = JsonValue::array(),
            offsets = JsonValue::array();
  const auto add = [&](const TokenLogprobs& step) {
    const std::string text = shown(step.chosen.bytes);
    tokens.push_back(text);
    values.push_back(step.known ? JsonValue(finite(step.chosen.logprob)) : JsonValue());
    JsonValue top;
    if (step.known) {
      top = JsonValue::object();
      top[text] = finite(step.chosen.logprob);
      // Tokens that look alike share a name: the likelier keeps it.
      for (const TokenText& t : first(step.top, most))
        if (const std::string name = shown(t.bytes); !top.contains(name)) top[name] = finite(t.logprob);
    }
    tops.push_back(std::move(top));
    offsets.push_back(offset);
    const std::string_view bytes = step.chosen.bytes;
    offset += characters(bytes.substr(std::min(step.hidden, bytes.size())));
  };
  for (const TokenLogprobs& step : prompt) add(step);
  for (const TokenLogprobs& step : said) add(step);
  return {{"text_offset", std::move(offsets)},
          {"token_logprobs", std::move(values)},
          {"tokens", std::move(tokens)},
          {"top_logprobs", std::move(tops)}};
}

JsonValue completion_json(size_t index, std::string_view text, JsonValue logprobs, JsonValue reason) {
  return {{"index", index},
          {"text", text},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", std::move(reason)}};
}

JsonValue delta_json(size_t index, JsonValue delta, JsonValue logprobs, JsonValue reason) {
  return {{"index", index},
          {"delta", std::move(delta)},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", std::move(reason)}};
}

JsonValue call_json(const ToolCallDelta& call) {
  JsonValue function = JsonValue::object();
  if (!call.name.empty()) function["name"] = call.name;
  function["arguments"] = call.arguments;
  JsonValue out = JsonValue::object();
  if (!call.id.empty()) out["id"] = call.id;
  if (!call.name.empty()) out["type"] = "function";
  out["function"] = std::move(function);
  return out;
}

}  // namespace

void ChoiceAnswer::add(CompletionEvent event) {
  reasoning += event.reasoning;
  text += event.text;
  for (ToolCallDelta& delta : event.tool_calls) {
    const auto index = static_cast<size_t>(std::max<int64_t>(delta.index, 0));
    if (index > calls.size()) continue;  // an engine counts without gaps
    if (index == calls.size()) {
      calls.push_back(std::move(delta));
    } else {
      calls[index].arguments += delta.arguments;
    }
  }
  for (TokenLogprobs& step : event.logprobs) logprobs.push_back(std::move(step));
  for (TokenLogprobs& step : event.prompt_logprobs) prompt_logprobs.push_back(std::move(step));
}

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kLength: return "length";
    case FinishReason::kToolCalls: return "tool_calls";
    default: return "stop";
  }
}

JsonValue usage_json(const CompletionUsage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

JsonValue timings_json(const CompletionUsage& usage, const CompletionTimings& timings) {
  const auto rates = [](JsonValue& out, const std::string& what, int64_t n, double ms) {
    out[what + "_per_token_ms"] = n > 0 ? ms / static_cast<double>(n) : 0.0;
    out[what + "_per_second"] = ms > 0 ? 1000 * static_cast<double>(n) / ms : 0.0;
  };
  const int64_t prompt = usage.prompt_tokens - usage.cached_tokens;
  JsonValue out = {{"cache_n", usage.cached_tokens}, {"prompt_n", prompt}, {"prompt_ms", timings.prompt_ms}};
  rates(out, "prompt", prompt, timings.prompt_ms);
  out["predicted_n"] = usage.completion_tokens;
  out["predicted_ms"] = timings.predicted_ms;
  rates(out, "predicted", std::max<int64_t>(usage.completion_tokens - 1, 0), timings.predicted_ms);
  return out;
}

JsonValue completion_choice(size_t index, ChoiceAnswer& answer, FinishReason reason,
                            const LogprobsAsked& asked) {
  std::span<const TokenLogprobs> echoed;
  if (asked.echo) echoed = answer.prompt_logprobs;
  JsonValue out = completion_json(
      index, answer.text,
      asked.answer >= 0
          ? completion_logprobs(echoed, answer.logprobs, asked.answer, answer.logprob_characters)
          : JsonValue(),
      finish_reason_name(reason));
  if (asked.prompt >= 0) out["prompt_logprobs"] = prompt_logprobs_json(answer.prompt_logprobs, asked.prompt);
  return out;
}

JsonValue prompt_logprobs_json(const std::vector<TokenLogprobs>& list, int64_t most) {
  JsonValue out = JsonValue::array();
  for (const TokenLogprobs& step : list) {
    if (!step.known) {
      out.push_back(JsonValue());
      continue;
    }
    JsonValue one = JsonValue::object();
    const auto add = [&](const TokenText& t, int64_t rank) {
      one[std::to_string(t.id)] = {
          {"logprob", finite(t.logprob)}, {"rank", rank}, {"decoded_token", shown(t.bytes)}};
    };
    add(step.chosen, step.rank);
    int64_t rank = 0;
    for (const TokenText& t : first(step.top, most)) add(t, ++rank);
    out.push_back(std::move(one));
  }
  return out;
}

JsonValue chat_choice(size_t index, const ChoiceAnswer& answer, FinishReason reason, bool logprobs) {
  JsonValue message = {{"role", "assistant"}};
  message["content"] =
      answer.text.empty() && !answer.calls.empty() ? JsonValue() : JsonValue(std::string_view(answer.text));
  message["refusal"] = nullptr;
  if (!answer.reasoning.empty()) message["reasoning_content"] = answer.reasoning;
  if (!answer.calls.empty()) {
    JsonValue calls = JsonValue::array();
    for (const ToolCallDelta& call : answer.calls) calls.push_back(call_json(call));
    message["tool_calls"] = std::move(calls);
  }
  return {{"index", index},
          {"message", std::move(message)},
          {"logprobs", logprobs ? chat_logprobs(answer.logprobs) : JsonValue()},
          {"finish_reason", finish_reason_name(reason)}};
}

JsonValue completion_chunk(size_t index, std::string_view text) {
  return completion_json(index, text, JsonValue(), JsonValue());
}

std::vector<JsonValue> completion_chunks(size_t index, const CompletionEvent& event, ChoiceAnswer& answer,
                                         const LogprobsAsked& asked) {
  std::vector<JsonValue> out;
  std::span<const TokenLogprobs> echoed;
  if (asked.echo) echoed = event.prompt_logprobs;
  const bool some = asked.answer >= 0 && (!event.logprobs.empty() || !echoed.empty());
  if (event.text.empty() && !event.finished && !some) return out;
  out.push_back(completion_json(
      index, event.text,
      some ? completion_logprobs(echoed, event.logprobs, asked.answer, answer.logprob_characters)
           : JsonValue(),
      event.finished ? JsonValue(finish_reason_name(event.reason)) : JsonValue()));
  return out;
}

JsonValue infill_answer(std::string_view model, std::string_view text, const CompletionUsage& usage,
                        const FinishReason* reason) {
  JsonValue out = {{"index", 0},
                   {"content", text},
                   {"stop", reason != nullptr},
                   {"model", model},
                   {"tokens_predicted", usage.completion_tokens},
                   {"tokens_evaluated", usage.prompt_tokens},
                   {"tokens_cached", usage.cached_tokens}};
  if (reason) {
    out["truncated"] = false;
    out["stop_type"] = *reason == FinishReason::kLength ? "limit" : "eos";
  }
  return out;
}

JsonValue chat_role_chunk(size_t index) {
  return delta_json(index, {{"role", "assistant"}, {"content", ""}}, JsonValue(), JsonValue());
}

std::vector<JsonValue> chat_chunks(size_t index, const CompletionEvent& event, bool logprobs) {
  std::vector<JsonValue> out;
  bool told = !logprobs || event.logprobs.empty();
  const auto add = [&](JsonValue delta) {
    out.push_back(
        delta_json(index, std::move(delta), told ? JsonValue() : chat_logprobs(event.logprobs), JsonValue()));
    told = true;
  };
  if (!event.reasoning.empty()) add(JsonValue{{"reasoning_content", event.reasoning}});
  if (!event.text.empty()) add(JsonValue{{"content", event.text}});
  for (const ToolCallDelta& call : event.tool_calls) {
    JsonValue one = {{"index", call.index}};
    JsonValue rest = call_json(call);
    if (!call.id.empty()) one["id"] = call.id;
    if (!call.name.empty()) one["type"] = "function";
    one["function"] = rest["function"];
    JsonValue delta = JsonValue::object();
    delta["tool_calls"] = JsonValue::array({std::move(one)});
    add(std::move(delta));
  }
  if (!told && !event.finished) add(JsonValue::object());
  if (event.finished)
    out.push_back(delta_json(index, JsonValue::object(), told ? JsonValue() : chat_logprobs(event.logprobs),
                             finish_reason_name(event.reason)));
  return out;
}

}  // namespace hoist::http
