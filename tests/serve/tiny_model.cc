#include "serve/tiny_model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/rng.h"
#include "io/files.h"
#include "text/bpe_trainer.h"

namespace hoist::serve {

const char* const kPlainTemplate =
    "<s>{% if tools %}tools: {{ tools | tojson }} <tool_call></tool_call>\n{% endif %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% if think %}<think>\n{% endif %}{% endif %}{# </think> #}";

decode::Model tiny_model(const TinyOptions& options) {
  decode::Model m;
  m.name = "tiny";
  text::BpeTrainerOptions bpe;
  bpe.special_tokens = {"<s>", "</s>", "<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]"};
  if (options.infill)
    for (const char* name : {"<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"})
      bpe.special_tokens.push_back(name);
  bpe.vocab_size = 300;
  const std::vector<std::string> documents(
      4, R"({"name": "value", "list": [1, 2, true, false, null]} the and of "})");
  m.tokenizer = text::Tokenizer::from_json(text::train_bpe(documents, bpe));
  const int32_t end = *m.tokenizer->token_to_id("</s>");
  m.eos_ids = {end};
  m.config = io::parse_model_config(
      R"({"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":32,"intermediate_size":48,
          "num_hidden_layers":1,"num_attention_heads":4,"num_key_value_heads":2,"vocab_size":304,
          "max_position_embeddings":)" +
          std::to_string(options.context) +
          R"(,"rms_norm_eps":1e-5,"tie_word_embeddings":false,"bos_token_id":0,"eos_token_id":)" +
          std::to_string(end) + "}",
      "tiny");
  m.draw = [](const models::Parameter& p, std::byte* to) {
    uint64_t hash = 1469598103934665603u;
    for (const char c : p.name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    CounterRng rng(hash, 0);
    auto* x = reinterpret_cast<float*>(to);
    for (int64_t i = 0; i < p.type.elements(); ++i)
      x[i] = p.init.kind == models::Init::Kind::kOnes
                 ? 1.0f
                 : static_cast<float>(rng.normal(static_cast<uint64_t>(i)) * 0.3);
  };
  static std::atomic<int> count{0};
  m.folder = testing::TempDir() + "hoist_tiny_" + std::to_string(getpid()) + "_" + std::to_string(count++);
  io::make_dirs(m.folder);
  if (!options.chat_template.empty())
    io::atomic_write(io::join_path(m.folder, "chat_template.jinja"), options.chat_template);
  return m;
}

namespace {

decode::EngineOptions engine_options(int64_t seqs) {
  decode::EngineOptions o;
  o.threads = 1;
  o.max_seqs = seqs;
  o.step_tokens = 64;
  return o;
}

}  // namespace

Served::Served(const TinyOptions& options, AsyncOptions async_options, int64_t seqs)
    : model(tiny_model(options)), engine(model, engine_options(seqs)), async(model, engine, async_options) {}

std::vector<Said> ask(AsyncEngine& engine, http::CompletionRequest request) {
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Said> said;
    size_t finished = 0;
    std::exception_ptr refused;
  };
  auto state = std::make_shared<State>();
  const auto n = static_cast<size_t>(request.n);
  state->said.resize(n);
  engine.submit(std::move(request), [state, n](http::CompletionEvent e) {
    std::lock_guard lock(state->mutex);
    if (e.refused) {
      state->refused = e.refused;
      state->finished = n;
    } else {
      Said& s = state->said[static_cast<size_t>(e.choice)];
      s.reasoning += e.reasoning;
      s.text += e.text;
      for (auto& d : e.tool_calls) {
        if (static_cast<size_t>(d.index) == s.calls.size())
          s.calls.push_back(d);
        else
          s.calls[static_cast<size_t>(d.index)].arguments += d.arguments;
      }
      for (auto& l : e.logprobs) s.logprobs.push_back(l);
      for (auto& l : e.prompt_logprobs) s.prompt_logprobs.push_back(l);
      s.prompt_text += e.prompt_text;
      s.usage = e.usage;
      if (e.finished) {
        s.reason = e.reason;
        s.error = e.error;
        s.timed = e.timings.has_value();
        ++state->finished;
      }
    }
    state->changed.notify_all();
  });
  std::unique_lock lock(state->mutex);
  EXPECT_TRUE(state->changed.wait_for(lock, std::chrono::seconds(120), [&] { return state->finished >= n; }));
  if (state->refused) std::rethrow_exception(state->refused);
  return state->said;
}

Said ask_one(AsyncEngine& engine, http::CompletionRequest request) {
  return ask(engine, std::move(request)).at(0);
}

http::CompletionRequest text_request(std::string prompt, int64_t max_tokens) {
  http::CompletionRequest r;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  r.seed = 1;
  return r;
}

http::CompletionRequest chat_request(std::string message, int64_t max_tokens, http::ChatPrompt chat) {
  http::CompletionRequest r = text_request("", max_tokens);
  if (chat.messages.empty()) chat.messages = R"([{"role":"user","content":")" + message + "\"}]";
  r.chat = std::make_shared<const http::ChatPrompt>(std::move(chat));
  return r;
}

}  // namespace hoist::serve
