#include "load/target.h"

#include <algorithm>

#include "base/error.h"
#include "io/json.h"
#include "load/answer.h"

namespace hoist::load {

namespace {

// Common English words, each of which most vocabularies hold with the space before it.
constexpr const char* kWords[] = {
    "the",  "of",  "and", "to",    "in",   "is",   "was", "he",  "for",   "it",   "with", "as",  "his",
    "on",   "be",  "at",  "by",    "had",  "not",  "are", "but", "from",  "or",   "have", "an",  "they",
    "one",  "she", "all", "there", "her",  "were", "we",  "him", "been",  "has",  "when", "who", "will",
    "more", "if",  "out", "so",    "said", "what", "up",  "its", "about", "into", "them"};
// The largest id tried, in order: every vocabulary of our day holds the last.
constexpr int64_t kHighest[] = {31999, 16383, 8191, 4095, 2047, 1023, 511, 255};

struct Counted {
  int status = 0;
  int64_t prompt_tokens = -1;
  std::string error;
};

class Prober {
 public:
  Prober(HttpClient& client, const TargetOptions& options) : client_(client) { target_.options = options; }

  Target run() {
    find_model();
    // Whatever else fails, this must work; its error is the most telling.
    const Counted plain = complete(R"("Once upon a time")", "");
    if (plain.status != 200)
      throw_invalid("POST /v1/completions: " + (plain.error.empty() ? "no answer" : plain.error));
    for (const char* field : {"ignore_eos", "min_tokens"}) {
      if (!target_.exact.empty()) break;
      const std::string extra =
          std::string(field) == "ignore_eos" ? R"(,"ignore_eos":true)" : R"(,"min_tokens":1)";
      if (complete(R"("Once")", extra).status == 200) target_.exact = field;
    }
    target_.usage =
        complete(R"("Once")", R"(,"stream":true,"stream_options":{"include_usage":true})").status == 200;
    if (target_.options.text_prompts || !find_ids()) find_words();
    return std::move(target_);
  }

 private:
  std::string ask(const std::string& path, const std::string& json) {
    const Url& url = target_.options.url;
    const WholeResponse r = exchange(client_, json.empty() ? get_text(url, path, target_.key(0))
                                                           : post_text(url, path, target_.key(0), json));
    if (!r.error.empty()) throw Error(ErrorCode::kUnavailable, url.authority() + path + ": " + r.error);
    status_ = r.status;
    return r.body;
  }

  void find_model() {
    const std::string text = ask("/v1/models", "");
    std::string first;
    if (status_ == 200) try {
        const io::JsonDocument document = io::JsonDocument::parse(text, "/v1/models");
        const io::Json data = document.root().at("data");
        for (const io::Json m : data.elements()) {
          const std::string id(m.get_string("id"));
          if (first.empty()) first = id;
          if (id != target_.options.model && !(target_.options.model.empty() && id == first)) continue;
          if (const auto n = m.find("max_model_len"); n && n->type() == io::JsonType::kInt)
            target_.context = n->as_int();
        }
      } catch (const Error&) {  // a server without the list: the model must be named
      }
    if (status_ == 401 || status_ == 403)
      throw_invalid("/v1/models: status " + std::to_string(status_) + ": the server wants a --key");
    target_.model = target_.options.model.empty() ? first : target_.options.model;
    if (target_.model.empty())
      throw_invalid("--model: not given, and " + target_.options.url.authority() + "/v1/models lists none");
  }

  // One token for this prompt, given as JSON.
  Counted complete(const std::string& prompt, const std::string& extra) {
    const std::string text =
        ask("/v1/completions", "{\"model\":" + io::json_quote(target_.model) + ",\"prompt\":" + prompt +
                                   ",\"max_tokens\":1,\"temperature\":0" + extra + "}");
    AnswerReader reader;
    ResponseHead head;
    head.status = status_;
    if (text.starts_with("data:") || text.starts_with(":")) head.content_type = "text/event-stream";
    reader.on_body(head, text, 0);
    reader.on_end(head, 0);
    return {status_, reader.answer().prompt_tokens, reader.answer().error};
  }

  bool find_ids() {
    const auto list = [](int64_t id, int n) {
      std::string text = "[";
      for (int i = 0; i < n; ++i) text += (i ? "," : "") + std::to_string(id);
      return text + "]";
    };
    int64_t high = target_.options.max_token_id;
    if (high < 0)
      for (const int64_t h : kHighest) {
        if (complete(list(h, 2), "").status != 200) continue;
        high = h;
        break;
      }
    if (high < 0) return false;
    const Counted two = complete(list(high, 2), ""), twelve = complete(list(high, 12), "");
    if (two.status != 200 || twelve.status != 200) return false;
    // A server that counts otherwise took the list for something else.
    if (two.prompt_tokens >= 0 && twelve.prompt_tokens - two.prompt_tokens != 10) return false;
    target_.ids = true;
    target_.high_id = high;
    // The first ids are control tokens and bytes.
    target_.low_id = std::min<int64_t>(high, high >= 1023 ? 300 : 5);
    if (two.prompt_tokens >= 0) target_.added_tokens = two.prompt_tokens - 2;
    return true;
  }

  // Tokens of `text`, by /tokenize (as vLLM or llama-server spell it), else by what "usage" says.
  int64_t count(const std::string& text) {
    // The field is llama-server's, or vLLM's; servers refuse the other one.
    static constexpr const char* kFields[] = {"content", "prompt"};
    for (; tokenize_ < std::size(kFields); ++tokenize_) {
      const std::string answer =
          ask("/tokenize", "{\"model\":" + io::json_quote(target_.model) + ",\"" + kFields[tokenize_] +
                               "\":" + io::json_quote(text) + "}");
      if (status_ == 200) try {
          const io::JsonDocument document = io::JsonDocument::parse(answer, "/tokenize");
          return static_cast<int64_t>(document.root().at("tokens").size());
        } catch (const Error&) {
        }
    }
    return complete(io::json_quote(text), "").prompt_tokens;
  }

  void find_words() {
    for (const char* word : kWords) {
      const std::string w = std::string(" ") + word;
      const int64_t two = count("the" + w + w), five = count("the" + w + w + w + w + w);
      if (two < 0)
        throw_unsupported("prompts: the server neither takes token ids nor says how many tokens a text has");
      if (five - two == 3) target_.words.push_back(w);
      if (target_.words.size() == 32) break;
    }
    if (target_.words.size() < 4)
      throw_unsupported("prompts: found no words of one token each; the server takes no token ids");
    std::string sum;
    for (const std::string& w : target_.words) sum += w;
    // As requests will be counted: /tokenize may leave out what is added.
    const int64_t whole = complete(io::json_quote(sum), "").prompt_tokens;
    const int64_t measured = whole >= 0 ? whole : count(sum);
    target_.added_tokens = measured - static_cast<int64_t>(target_.words.size());
  }

  HttpClient& client_;
  Target target_;
  int status_ = 0;
  size_t tokenize_ = 0;  // which of the spellings works; their number: none
};

}  // namespace

const std::string& Target::key(int32_t tenant) const {
  static const std::string none;
  if (options.keys.empty()) return none;
  return options.keys[static_cast<size_t>(tenant) % options.keys.size()];
}

std::vector<std::pair<std::string, std::string>> Target::facts() const {
  std::vector<std::pair<std::string, std::string>> out = {
      {"Server", "http://" + options.url.authority() + options.url.prefix}, {"Model", model}};
  if (context > 0) out.push_back({"Its context", std::to_string(context) + " tokens"});
  const std::string kind = ids ? "token ids " + std::to_string(low_id) + ".." + std::to_string(high_id)
                               : std::to_string(words.size()) + " words of one token each";
  out.push_back({"Prompts", kind + (options.shared_prefix > 0
                                        ? " at random, the first " + std::to_string(options.shared_prefix) +
                                              " alike in all"
                                        : " at random, so that no two begin alike")});
  out.push_back({"Answers", exact.empty()
                                ? "may end early: the server knows neither ignore_eos nor min_tokens"
                                : "of exact length, by " + exact});
  out.push_back({"Tokens counted", usage ? "by the server (usage)" : "by pieces of the stream"});
  return out;
}

std::string Target::request(const CounterRng& rng, uint64_t number, int64_t prompt_tokens,
                            int64_t output_tokens, int32_t tenant, bool stream) const {
  const int64_t n = std::max<int64_t>(1, prompt_tokens - added_tokens);
  // Draws of one request; lengths stay below 1 << 24, and the first of these ranges is what all share.
  const uint64_t own = (number + 1) << 24;
  const auto draw = [&](int64_t i, uint64_t below) {
    return rng.below((i < options.shared_prefix ? 0 : own) + static_cast<uint64_t>(i), below);
  };
  std::string json = "{\"model\":" + io::json_quote(model) + ",\"prompt\":";
  if (ids) {
    json.reserve(json.size() + static_cast<size_t>(n) * 6 + 256);
    const uint64_t span = static_cast<uint64_t>(high_id - low_id + 1);
    for (int64_t i = 0; i < n; ++i) {
      json += i ? ',' : '[';
      json += std::to_string(low_id + static_cast<int64_t>(draw(i, span)));
    }
    json += ']';
  } else {
    std::string text;
    for (int64_t i = 0; i < n; ++i) text += words[draw(i, words.size())];
    json += io::json_quote(text);
  }
  json += ",\"max_tokens\":" + std::to_string(output_tokens) + ",\"temperature\":0";
  if (exact == "ignore_eos") json += ",\"ignore_eos\":true";
  if (exact == "min_tokens") json += ",\"min_tokens\":" + std::to_string(output_tokens);
  if (stream) json += ",\"stream\":true";
  if (stream && usage) json += ",\"stream_options\":{\"include_usage\":true}";
  json += '}';
  return post_text(options.url, "/v1/completions", key(tenant), json);
}

Target probe(HttpClient& client, const TargetOptions& options) { return Prober(client, options).run(); }

}  // namespace hoist::load
