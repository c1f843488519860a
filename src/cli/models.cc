// hoist pull, ls, rm: models of the store.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/error.h"
#include "cli/options.h"
#include "hub/pull.h"
#include "io/json_value.h"

namespace hoist::cli {

namespace {

std::string environment(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value && *value ? value : otherwise;
}

struct PullFlags {
  std::string name, endpoint = environment("HF_ENDPOINT", "https://huggingface.co"), revision = "main", store;
  std::vector<std::string> files;
  bool offline = false, quiet = false;
};

// One line that is drawn again on a terminal; elsewhere a line for each file.
class PullLine {
 public:
  explicit PullLine(bool quiet) : quiet_(quiet), terminal_(isatty(2) != 0) {}
  ~PullLine() {
    if (terminal_ && drawn_) std::fprintf(stderr, "\n");
  }
  bool operator()(const hub::PullProgress& p) {
    if (quiet_) return true;
    const double now = std::chrono::duration<double>(Clock::now() - start_).count();
    if (p.file != file_) {
      file_ = p.file;
      if (!terminal_) std::fprintf(stderr, "%s  %s\n", p.file.c_str(), human_bytes(p.file_bytes).c_str());
      last_ = -1;
    }
    if (!p.checking && first_ < 0) {
      first_ = now;
      first_done_ = p.done;
    }
    if (!terminal_ || (now - last_ < 0.2 && p.file_done < p.file_bytes)) return true;
    last_ = now;
    const double rate = now > first_ ? static_cast<double>(p.done - first_done_) / (now - first_) : 0;
    const int64_t left = rate > 0 ? static_cast<int64_t>(static_cast<double>(p.bytes - p.done) / rate) : 0;
    std::fprintf(stderr, "\r\033[K%5.1f %%  %s of %s  %s/s  %lld:%02lld left  %s%s",
                 p.bytes > 0 ? 100 * static_cast<double>(p.done) / static_cast<double>(p.bytes) : 100.0,
                 human_bytes(p.done).c_str(), human_bytes(p.bytes).c_str(),
                 human_bytes(static_cast<int64_t>(rate)).c_str(), static_cast<long long>(left / 60),
                 static_cast<long long>(left % 60), p.checking ? "checking " : "", p.file.c_str());
    std::fflush(stderr);
    drawn_ = true;
    return true;
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool quiet_, terminal_, drawn_ = false;
  Clock::time_point start_ = Clock::now();
  std::string file_;
  double last_ = -1, first_ = -1;
  int64_t first_done_ = 0;
};

void run_pull(const PullFlags& f) {
  hub::PullOptions o;
  o.endpoint = f.endpoint;
  while (o.endpoint.ends_with('/')) o.endpoint.pop_back();
  o.revision = f.revision;
  o.store = f.store;
  o.files = f.files;
  o.offline = f.offline;
  o.http.token = environment("HF_TOKEN", "");
  std::string folder;
  {
    auto line = std::make_shared<PullLine>(f.quiet);
    folder = hub::pull(f.name, o, [line](const hub::PullProgress& p) { return (*line)(p); });
  }
  std::printf("%s\n", folder.c_str());
}

struct ListFlags {
  std::string store;
  bool json = false;
};

void run_list(const ListFlags& f) {
  const std::string store = f.store.empty() ? hub::store_folder() : f.store;
  const std::vector<hub::StoredModel> models = hub::stored_models(store);
  if (f.json) {
    io::JsonValue out = io::JsonValue::array();
    for (const hub::StoredModel& m : models)
      out.push_back({{"name", m.name},
                     {"folder", m.folder},
                     {"revision", m.revision},
                     {"bytes", m.bytes},
                     {"complete", m.complete}});
    std::printf("%s\n", out.dump(1).c_str());
    return;
  }
  if (models.empty())
    std::printf("no models in %s; `hoist pull organisation/name` gets one\n", store.c_str());
  for (const hub::StoredModel& m : models)
    std::printf("%-48s %10s  %.8s  %s\n", m.name.c_str(), human_bytes(m.bytes).c_str(), m.revision.c_str(),
                m.complete ? "" : ("incomplete: of " + human_bytes(m.expected) + "; pull again").c_str());
}

struct RemoveFlags {
  std::string name, store;
};

}  // namespace

void add_models(Command root) {
  {
    auto f = std::make_shared<PullFlags>();
    Command app =
        root.command("pull", "Get a model from a hub: resumed where it stopped, checked when it is there");
    app.add_option("name", f->name, "organisation/name").required();
    app.option("--revision", f->revision, "Branch, tag or commit");
    app.add_option("--file", f->files,
                   "Only files of this name or pattern (*.q4_k_m.gguf); may be given several times")
        .repeated();
    app.option("--endpoint", f->endpoint, "The hub; also HF_ENDPOINT");
    app.option("--store", f->store, "Folder for models; empty: HOIST_MODELS, or ~/.local/share/hoist/models");
    app.flag("--offline", f->offline, "Ask nothing of the network: succeed if the model is there and whole");
    app.flag("--quiet", f->quiet, "No progress");
    app.footer(
        "A model that is pulled has a name: `hoist serve organisation/name`. A token for models that need "
        "one is\n"
        "read from HF_TOKEN.\n\nExample:\n  hoist pull HuggingFaceTB/SmolLM2-135M-Instruct");
    app.callback([f] { run_pull(*f); });
  }
  {
    auto f = std::make_shared<ListFlags>();
    Command app = root.command("ls", "List the models that were pulled");
    app.option("--store", f->store, "Folder for models; empty: as for pull");
    app.flag("--json", f->json, "Print an array as JSON");
    app.callback([f] { run_list(*f); });
  }
  {
    auto f = std::make_shared<RemoveFlags>();
    Command app = root.command("rm", "Remove a model that was pulled");
    app.add_option("name", f->name, "organisation/name").required();
    app.option("--store", f->store, "Folder for models; empty: as for pull");
    app.callback([f] {
      hub::remove_model(f->store.empty() ? hub::store_folder() : f->store, f->name);
      std::printf("removed %s\n", f->name.c_str());
    });
  }
}

}  // namespace hoist::cli
