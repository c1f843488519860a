// See fake_engine.h.
#include "http/fake_engine.h"

#include <algorithm>
#include <iterator>
#include <sstream>

namespace hoist::http {
namespace {

const std::vector<std::string>& story() {
  static const std::vector<std::string> words = [] {
    std::istringstream text(
        "there was a small lighthouse on the edge of the sea. Every evening the keeper climbed the stairs, "
        "lit the "
        "lamp, and wrote one line in a book. Some lines told of ships; others of weather, or of café lights "
        "across "
        "the bay. One night the lamp would not start, and the whole village came with lanterns.\n\n\"Stand "
        "here,\" "
        "said the keeper, \"and be the light.\" And so they did, until the morning.");
    std::vector<std::string> result;
    std::string word;
    while (std::getline(text, word, ' ')) result.push_back(" " + word);
    return result;
  }();
  return words;
}

int64_t count_words(const std::string& text) {
  std::istringstream stream(text);
  return std::distance(std::istream_iterator<std::string>(stream), {});
}

}  // namespace

std::string FakeEngine::story_token(int64_t index) {
  return story()[static_cast<size_t>(index) % story().size()];
}

FakeEngine::FakeEngine(FakeEngineOptions options)
    : options_(std::move(options)), thread_([this] { run(); }) {}

FakeEngine::~FakeEngine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

// The whole answer is known beforehand, so stop strings are cut off exactly.
FakeEngine::Sequence FakeEngine::plan(const CompletionRequest& request, int64_t prompt_tokens) const {
  Sequence sequence;
  sequence.prompt_tokens = prompt_tokens;
  sequence.reason = FinishReason::kLength;
  std::string text;
  const int64_t count = std::min(request.max_tokens, options_.context - prompt_tokens);
  if (count == 0) sequence.pieces.emplace_back();
  for (int64_t i = 0; i < count; ++i) {
    std::string piece = options_.token.empty() ? story_token(i) : options_.token;
    text += piece;
    size_t cut = std::string::npos;
    for (const std::string& stop : request.stop) cut = std::min(cut, text.find(stop));
    if (cut != std::string::npos) {
      // A stop string may have begun in an earlier piece, which then loses its end.
      size_t total = 0;
      for (std::string& p : sequence.pieces) {
        p.resize(std::min(p.size(), cut > total ? cut - total : 0));
        total += p.size();
      }
      sequence.pieces.push_back(text.substr(total, cut - total));
      sequence.reason = FinishReason::kStop;
      break;
    }
    sequence.pieces.push_back(std::move(piece));
  }
  return sequence;
}

FakeEngine::Handle FakeEngine::submit(CompletionRequest request, CompletionSink sink) {
  const int64_t prompt_tokens = request.chat ? count_words(request.chat->messages)
                                : request.prompt_ids.empty()
                                    ? count_words(request.prompt)
                                    : static_cast<int64_t>(request.prompt_ids.size());
  if (prompt_tokens >= options_.context) throw ContextLengthError(prompt_tokens, options_.context);
  CompletionEvent taken;
  taken.usage.prompt_tokens = prompt_tokens;
  if (request.echo)
    for (const int64_t id : request.prompt_ids) taken.prompt_text += "#" + std::to_string(id);
  if (options_.refuse) try {
      options_.refuse(request);
    } catch (...) {
      taken.finished = true;
      taken.reason = FinishReason::kError;
      taken.refused = std::current_exception();
    }
  const std::lock_guard lock(mutex_);
  if (sequences_.size() >= options_.max_queue)
    throw Error(ErrorCode::kResourceExhausted, "the queue is full: " + std::to_string(sequences_.size()) +
                                                   " requests are waiting or running");
  // From a thread of ours, as engines do: what a server's own thread posts may be overtaken by what others
  // post.
  std::thread([&] { sink(taken); }).join();
  if (!taken.finished)
    for (int64_t choice = 0; choice < request.n; ++choice) {
      Sequence sequence = plan(request, prompt_tokens);
      sequence.sink = sink;
      sequence.handle = next_handle_;
      sequence.choice = choice;
      sequences_.push_back(std::move(sequence));
    }
  last_request_ = std::move(request);
  changed_.notify_all();
  return next_handle_++;
}

void FakeEngine::tokenize(TokenizeRequest request, std::function<void(TokenizeResult)> done) {
  TokenizeResult result;
  result.text = request.chat ? request.chat->messages : request.text;
  if (options_.tokens) {
    result.ids = options_.tokens(result.text);
    result.pieces.resize(result.ids.size());
    done(std::move(result));
    return;
  }
  if (request.add_special_tokens.value_or(!request.chat)) {
    result.ids.push_back(256);
    result.pieces.push_back("<s>");
  }
  for (const char c : result.text) {
    result.ids.push_back(static_cast<unsigned char>(c));
    result.pieces.push_back(std::string(1, c));
  }
  done(std::move(result));
}

void FakeEngine::detokenize(DetokenizeRequest request, std::function<void(TokenizeResult)> done) {
  const std::vector<int64_t>& ids = request.ids;
  TokenizeResult result;
  for (const int64_t id : ids) {
    if (id > 255) throw FieldError(ErrorCode::kInvalidArgument, "tokens", "found " + std::to_string(id));
    result.text += static_cast<char>(id);
  }
  done(std::move(result));
}

void FakeEngine::cancel(Handle handle) {
  const std::lock_guard lock(mutex_);
  const size_t gone = std::erase_if(sequences_, [&](const Sequence& s) { return s.handle == handle; });
  if (gone == 0) return;
  cancelled_ += static_cast<int>(gone);
  changed_.notify_all();
}

CompletionEvent FakeEngine::advance(Sequence& sequence) const {
  CompletionEvent event;
  if (!options_.script.empty()) {
    event = options_.script[sequence.next++];
    event.finished = sequence.next == options_.script.size();
    event.choice = sequence.choice;
    event.usage = {sequence.prompt_tokens, static_cast<int64_t>(sequence.next)};
    return event;
  }
  event.choice = sequence.choice;
  if (options_.fail_after >= 0 && static_cast<int64_t>(sequence.next) >= options_.fail_after) {
    event.finished = true;
    event.reason = FinishReason::kError;
    event.error_code = ErrorCode::kUnavailable;
    event.error = "the model stopped answering";
  } else {
    event.text = std::move(sequence.pieces[sequence.next++]);
    event.finished = sequence.next == sequence.pieces.size();
    event.reason = sequence.reason;
  }
  event.usage = {sequence.prompt_tokens, static_cast<int64_t>(sequence.next)};
  return event;
}

void FakeEngine::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || (!held_ && !sequences_.empty()); });
    if (stopping_) return;
    for (size_t i = 0; i < sequences_.size();) {
      CompletionEvent event = advance(sequences_[i]);
      const bool finished = event.finished;
      sequences_[i].sink(std::move(event));
      if (finished) {
        sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(i));
        changed_.notify_all();
      } else {
        ++i;
      }
    }
    if (options_.step.count() > 0) {
      changed_.wait_for(lock, options_.step, [&] { return stopping_; });
    } else {
      lock.unlock();  // let submit and cancel in
      std::this_thread::yield();
      lock.lock();
    }
  }
}

void FakeEngine::hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void FakeEngine::release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

size_t FakeEngine::running() const {
  const std::lock_guard lock(mutex_);
  return sequences_.size();
}

int FakeEngine::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

CompletionRequest FakeEngine::last_request() const {
  const std::lock_guard lock(mutex_);
  return last_request_;
}

bool FakeEngine::wait_cancelled(int count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return cancelled_ >= count; });
}

bool FakeEngine::wait_running(size_t count) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return sequences_.size() == count; });
}

}  // namespace hoist::http
