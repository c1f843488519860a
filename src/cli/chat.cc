// hoist chat: a conversation in the terminal.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <memory>
#include <optional>

#include "base/error.h"
#include "cli/options.h"
#include "cli/sampling_flags.h"
#include "decode/chat_source.h"
#include "decode/engine.h"
#include "decode/text_stream.h"
#include "hub/store.h"
#include "io/files.h"
#include "io/json_value.h"

namespace hoist::cli {

namespace {

using text::jinja::Value;

std::atomic<bool> interrupted{false};

struct ChatFlags {
  std::string model, system, save;
  SamplingFlags sampling;
  int64_t context = 0, max_tokens = 0, speculate = 0;
  int threads = 0;
  bool stats = false;
};

struct Message {
  std::string role, content;
};

// Ctrl-C ends the answer under way; at the prompt it ends the program.
class Interrupts {
 public:
  Interrupts() {
    interrupted = false;
    struct sigaction action {};
    action.sa_handler = [](int) { interrupted = true; };
    ::sigaction(SIGINT, &action, &before_);
  }
  ~Interrupts() { ::sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

class Conversation {
 public:
  explicit Conversation(const ChatFlags& f)
      : flags_(f), model_(decode::open_model(hub::resolve_model(f.model))) {
    decode::ChatSource source = decode::load_chat_template(model_);
    if (!source.chat)
      throw_unsupported(f.model + ": " + source.problem + "; `hoist generate` continues a text without one");
    template_ = std::move(source.chat);
    decode::EngineOptions o;
    o.threads = f.threads;
    o.max_seqs = 1;
    o.context = f.context;
    o.speculate = f.speculate;
    engine_ = std::make_unique<decode::Engine>(model_, o);
    sampling_ = flags_.sampling.params(model_.generation, 0.95);
    clear();
  }

  const std::string& name() const { return model_.name; }
  int64_t context() const { return engine_->context(); }
  void set_system(const std::string& text) {
    flags_.system = text;
    clear();
  }
  void clear() {
    messages_.clear();
    if (!flags_.system.empty()) messages_.push_back({"system", flags_.system});
  }
  const std::vector<Message>& messages() const { return messages_; }
  bool can_again() const { return !messages_.empty() && messages_.back().role == "assistant"; }

  // Answers what was said last, as it is written. What the model has read of the conversation is in its
  // cache.
  void answer(const std::string& said) {
    messages_.push_back({"user", said});
    reply();
  }
  void again() {
    messages_.pop_back();
    ++sampling_.seed;
    reply();
  }

 private:
  std::string render() const {
    io::JsonValue list = io::JsonValue::array();
    for (const Message& m : messages_) list.push_back({{"role", m.role}, {"content", m.content}});
    text::ChatInput input;
    input.messages = Value::from_json(list.dump(), "messages");
    text::jinja::RenderOptions options;
    options.now_unix_seconds = static_cast<int64_t>(std::time(nullptr));
    return template_->render(input, options).text;
  }

  void reply() {
    decode::SequenceRequest r;
    try {
      r.prompt = decode::encode_prompt(model_, render(), false);
      r.sampling = sampling_;
      r.max_tokens = flags_.max_tokens > 0 ? flags_.max_tokens : engine_->context();
      if (static_cast<int64_t>(r.prompt.size()) >= engine_->longest())
        throw_invalid("the conversation has " + std::to_string(r.prompt.size()) +
                      " tokens, expected fewer than the " + std::to_string(engine_->longest()) +
                      " of the context; /clear begins anew");
    } catch (const Error&) {
      messages_.pop_back();
      throw;
    }
    const Interrupts interrupts;
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    Clock::time_point first{};
    const uint64_t id = engine_->add(std::move(r));
    decode::TextStream stream(*model_.tokenizer, std::vector<std::string>{});
    std::string text;
    const auto show = [&](const std::string& piece) {
      text += piece;
      std::fwrite(piece.data(), 1, piece.size(), stdout);
      std::fflush(stdout);
    };
    int64_t tokens = 0, reused = 0;
    std::vector<decode::TokenEvent> events;
    for (bool done = false; !done;) {
      if (interrupted) {
        engine_->cancel(id);
        break;
      }
      events.clear();
      engine_->step(events);
      for (const decode::TokenEvent& e : events) {
        if (first == Clock::time_point{}) first = Clock::now();
        reused = e.reused;
        tokens = e.generated;
        if (e.token != decode::kNoToken) show(stream.feed(e.token));
        if (e.finish == decode::Finish::kError) throw Error(ErrorCode::kCorrupt, e.error);
        if (e.finish != decode::Finish::kNone) done = true;
      }
    }
    show(stream.finish());
    std::printf("%s\n", interrupted ? " [stopped]" : "");
    messages_.push_back({"assistant", text});
    if (flags_.stats) {
      const double read = std::chrono::duration<double>(first - begin).count();
      const double wrote = std::chrono::duration<double>(Clock::now() - first).count();
      std::fprintf(
          stderr,
          "[first token after %.2f s, %lld of the conversation's tokens known; %lld tokens, %.1f tokens/s]\n",
          read, static_cast<long long>(reused), static_cast<long long>(tokens),
          tokens > 1 ? static_cast<double>(tokens - 1) / wrote : 0.0);
    }
  }

  ChatFlags flags_;
  decode::Model model_;
  std::optional<text::ChatTemplate> template_;
  std::unique_ptr<decode::Engine> engine_;
  decode::SamplingParams sampling_;
  std::vector<Message> messages_;
};

constexpr const char* kHelp =
    "  /again          answer the last message anew\n"
    "  /clear          forget the conversation\n"
    "  /system TEXT    set the system prompt, and begin anew\n"
    "  /save FILE      write the conversation as JSON\n"
    "  /bye            end (Ctrl-D does too; Ctrl-C stops an answer)\n"
    "  A line that ends in \\ goes on in the next.\n";

void save(const Conversation& c, const std::string& path) {
  io::JsonValue list = io::JsonValue::array();
  for (const Message& m : c.messages()) list.push_back({{"role", m.role}, {"content", m.content}});
  io::atomic_write(path, list.dump(1) + "\n");
}

// False at the end of the input.
bool read_message(bool terminal, std::string& said) {
  said.clear();
  for (bool more = true; more;) {
    if (terminal) std::fputs(said.empty() ? "> " : ". ", stdout);
    std::fflush(stdout);
    std::string line;
    if (!std::getline(std::cin, line)) return !said.empty();
    more = line.ends_with('\\');
    if (more) line.back() = '\n';
    said += line;
  }
  return true;
}

void run(const ChatFlags& f) {
  Conversation talk(f);
  const bool terminal = isatty(0) && isatty(1);
  if (terminal)
    std::printf("%s, a context of %lld tokens. /help lists the commands.\n", talk.name().c_str(),
                static_cast<long long>(talk.context()));
  std::string said;
  while (read_message(terminal, said)) {
    try {
      const size_t space = said.find(' ');
      const std::string word = said.substr(0, space), rest = space == said.npos ? "" : said.substr(space + 1);
      if (said.find_first_not_of(" \t\n") == said.npos) continue;
      if (word == "/bye" || word == "/exit" || word == "/quit") break;
      if (word == "/help") {
        std::fputs(kHelp, stdout);
      } else if (word == "/clear") {
        talk.clear();
      } else if (word == "/system") {
        talk.set_system(rest);
      } else if (word == "/again") {
        if (!talk.can_again()) throw_invalid("/again: there is no answer yet");
        talk.again();
      } else if (word == "/save") {
        if (rest.empty()) throw_invalid("/save: expected a file name");
        save(talk, rest);
      } else if (said[0] == '/' && said.find('/', 1) == said.npos && space == said.npos) {
        throw_invalid(word + ": found no such command; /help lists them");
      } else {
        talk.answer(said);
      }
    } catch (const Error& e) {
      if (!terminal) throw;
      std::fprintf(stderr, "%s\n", e.what());
    }
  }
  if (terminal) std::printf("\n");
  if (!f.save.empty()) save(talk, f.save);
}

}  // namespace

void add_chat(Command root) {
  auto f = std::make_shared<ChatFlags>();
  Command app = root.command("chat", "Talk to a model in the terminal");
  app.add_option("model", f->model, "Model folder, .gguf file, or the name of a pulled model")
      .required()
      .envname("HOIST_MODEL");
  app.option("--system", f->system, "System prompt");
  f->sampling.add_to(app);
  app.option("--context", f->context, "Longest conversation in tokens; 0: the model's own, at most 8192");
  app.option("--max-tokens", f->max_tokens, "Longest answer; 0: what the context leaves");
  app.option("--speculate", f->speculate, "Tokens guessed ahead; answers stay the same")
      .range(int64_t{0}, int64_t{64});
  app.option("--threads", f->threads, "Threads; 0: one per core");
  app.option("--save", f->save, "Write the conversation to this file at the end, as JSON");
  app.flag("--stats", f->stats, "Say how long each answer took");
  app.footer(
      "Reads a message a line from standard input, so that it works in a pipe too.\n\nExample:\n"
      "  hoist chat HuggingFaceTB/SmolLM2-135M-Instruct --system \"Answer in one sentence.\"\n"
      "  echo \"Why is the sky blue?\" | hoist chat path/to/model");
  app.callback([f] { run(*f); });
}

}  // namespace hoist::cli
