// hoist ps.
#include "cli/servers.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "base/error.h"
#include "cli/options.h"
#include "io/files.h"
#include "io/json.h"
#include "io/json_value.h"

namespace hoist::cli {

namespace {

// Empty when there is none, or when it belongs to somebody else.
std::string notes_folder(bool make) {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const std::string folder =
      runtime && *runtime ? io::join_path(runtime, "hoist") : "/tmp/hoist-" + std::to_string(::getuid());
  if (make) ::mkdir(folder.c_str(), 0700);
  struct stat st;
  if (::lstat(folder.c_str(), &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != ::getuid() ||
      (st.st_mode & 077) != 0)
    return "";
  return folder;
}

// When a process began, in clock ticks since the machine did: a number that tells it from a later one of its
// pid. -1: there is none.
int64_t start_ticks(int64_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "r"), std::fclose);
  if (!file) return -1;
  char text[2048];
  const size_t n = std::fread(text, 1, sizeof text - 1, file.get());
  text[n] = 0;
  const std::string line(text, n);
  size_t at = line.rfind(')');  // the command's name may hold anything
  for (int field = 2; field < 22 && at != line.npos; ++field) at = line.find(' ', at + 1);
  return at == line.npos ? -1 : std::atoll(line.c_str() + at + 1);
}

int64_t resident_bytes(int64_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/statm";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "r"), std::fclose);
  long long size = 0, resident = 0;
  if (!file || std::fscanf(file.get(), "%lld %lld", &size, &resident) != 2) return 0;
  return resident * ::sysconf(_SC_PAGESIZE);
}

std::string age(int64_t seconds) {
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7200) return std::to_string(seconds / 60) + " min";
  if (seconds < 172800) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86400) + " days";
}

}  // namespace

ServerNote::ServerNote(const std::string& url, const std::string& model) {
  const std::string folder = notes_folder(true);
  if (folder.empty()) return;
  const int64_t pid = ::getpid();
  try {
    const std::string path = io::join_path(folder, std::to_string(pid) + ".json");
    const io::JsonValue note = {{"pid", pid},
                                {"ticks", start_ticks(pid)},
                                {"url", url},
                                {"model", model},
                                {"started", static_cast<int64_t>(std::time(nullptr))}};
    io::atomic_write(path, note.dump() + "\n");
    path_ = path;
  } catch (const Error&) {
    // `hoist ps` does not show this server, that is all.
  }
}

ServerNote::~ServerNote() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

std::vector<RunningServer> running_servers() {
  std::vector<RunningServer> out;
  const std::string folder = notes_folder(false);
  if (folder.empty()) return out;
  for (const std::string& name : io::list_dir(folder)) {
    const std::string path = io::join_path(folder, name);
    try {
      const io::JsonDocument document = io::JsonDocument::parse(io::read_file(path, 64 << 10), path);
      const io::Json note = document.root();
      RunningServer s;
      s.pid = note.get_int("pid", 1, INT32_MAX);
      if (start_ticks(s.pid) != note.get_int("ticks", 0, INT64_MAX)) {
        ::unlink(path.c_str());
        continue;
      }
      s.url = note.get_string("url");
      s.model = note.get_string("model");
      s.started = note.get_int("started", 0, INT64_MAX);
      s.memory_bytes = resident_bytes(s.pid);
      out.push_back(std::move(s));
    } catch (const Error&) {
      continue;  // being written, or not ours
    }
  }
  return out;
}

void add_ps(Command root) {
  auto json = std::make_shared<bool>(false);
  Command app = root.command("ps", "List the servers that run on this machine as this user");
  app.flag("--json", *json, "Print an array as JSON");
  app.callback([json] {
    const std::vector<RunningServer> servers = running_servers();
    const int64_t now = static_cast<int64_t>(std::time(nullptr));
    if (*json) {
      io::JsonValue out = io::JsonValue::array();
      for (const RunningServer& s : servers)
        out.push_back({{"pid", s.pid},
                       {"url", s.url},
                       {"model", s.model},
                       {"seconds", now - s.started},
                       {"memory_bytes", s.memory_bytes}});
      std::printf("%s\n", out.dump(1).c_str());
      return;
    }
    if (servers.empty()) std::printf("no server runs; `hoist serve MODEL` starts one\n");
    for (const RunningServer& s : servers)
      std::printf("%-32s %-28s pid %-8lld %10s  %s\n", s.model.c_str(), s.url.c_str(),
                  static_cast<long long>(s.pid), human_bytes(s.memory_bytes).c_str(),
                  age(now - s.started).c_str());
  });
}

}  // namespace hoist::cli
