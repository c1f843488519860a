// hoist doctor: what of this machine helps or hinders Hoist, and what to do about it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "autotune/schedule_file.h"
#include "base/error.h"
#include "base/threads.h"
#include "cli/options.h"
#include "hub/store.h"
#include "io/files.h"
#include "io/json_value.h"
#include "kernels/kernel.h"

namespace hoist::cli {

namespace {

enum class Verdict { kGood, kNote, kBad };

struct Finding {
  Verdict verdict;
  std::string what, found, advice;
};

// The first line of a small file of the kernel's; empty when it is not there.
std::string line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line.substr(0, 256);
}

int64_t meminfo(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  std::string line;
  while (std::getline(file, line))
    if (line.starts_with(key + ":")) return std::atoll(line.c_str() + key.size() + 1) * 1024;
  return -1;
}

Finding processor() {
  std::string listed;
  for (kernels::Isa isa :
       {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot})
    if (kernels::isa_available(isa))
      listed += (listed.empty() ? "" : ", ") + std::string(kernels::isa_name(isa));
  const kernels::Isa best = kernels::best_isa();
  Finding f{Verdict::kGood, "instruction sets",
            listed + "; kernels use " + std::string(kernels::isa_name(best)), ""};
  if (best == kernels::Isa::kPortable) {
    f.verdict = Verdict::kNote;
    f.advice = "without AVX2 (or with HOIST_ISA set) products are many times slower";
  }
  return f;
}

Finding cores(const Topology& topology) {
  Finding f{Verdict::kGood, "cores", std::to_string(topology.cores.size()), ""};
  std::istringstream quota(line_of("/sys/fs/cgroup/cpu.max"));
  std::string most;
  double period = 0;
  if (quota >> most >> period && most != "max" && period > 0) {
    const double allowed = std::atof(most.c_str()) / period;
    if (allowed < static_cast<double>(topology.cores.size())) {
      char text[160];
      std::snprintf(text, sizeof text,
                    "the container may use %.2f of them: pass --threads %d, or threads wait for "
                    "one another",
                    allowed, allowed < 1 ? 1 : static_cast<int>(allowed));
      f.verdict = Verdict::kNote;
      f.advice = text;
    }
  }
  return f;
}

Finding memory(const Topology& topology) {
  const int64_t free = meminfo("MemAvailable");
  Finding f{Verdict::kGood, "memory", human_bytes(topology.memory_bytes) + ", available " + human_bytes(free),
            ""};
  if (free >= 0 && free < topology.memory_bytes / 4) {
    f.verdict = Verdict::kNote;
    f.advice = "little is free now: give --memory, so that a server stays within it";
  }
  return f;
}

Finding huge_pages() {
  const std::string state = line_of("/sys/kernel/mm/transparent_hugepage/enabled");
  Finding f{Verdict::kGood, "huge pages", state.empty() ? "unknown" : state, ""};
  if (state.find("[never]") != state.npos) {
    f.verdict = Verdict::kNote;
    f.advice =
        "`echo madvise > /sys/kernel/mm/transparent_hugepage/enabled` makes large matrices faster to walk";
  }
  return f;
}

Finding governor() {
  const std::string state = line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  Finding f{Verdict::kGood, "clock", state.empty() ? "not ours to see" : "governor " + state, ""};
  if (state == "powersave") {
    f.verdict = Verdict::kNote;
    f.advice = "the governor 'performance' keeps the clock up between steps";
  }
  return f;
}

Finding open_files() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  Finding f{Verdict::kGood, "open files", std::to_string(limit.rlim_cur), ""};
  if (limit.rlim_cur < 1024) {
    f.verdict = Verdict::kNote;
    f.advice = "`ulimit -n 4096` before `hoist serve`: each connection is one";
  }
  return f;
}

Finding loopback() {
  const int s = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool good = s >= 0 && ::bind(s, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  const std::string error = good ? "" : std::strerror(errno);
  if (s >= 0) ::close(s);
  return {good ? Verdict::kGood : Verdict::kBad, "loopback", good ? "a server can listen" : error,
          good ? "" : "`hoist serve` needs a loopback interface"};
}

Finding store() {
  Finding f{Verdict::kGood, "models", "", ""};
  try {
    const std::string folder = hub::store_folder();
    f.found = folder + ", " + std::to_string(hub::stored_models(folder).size()) + " models";
    std::string there = folder;
    while (!io::path_exists(there) && there.find('/') != there.npos && there.size() > 1)
      there = there.substr(0, std::max<size_t>(1, there.rfind('/')));
    struct statvfs s;
    if (::statvfs(there.c_str(), &s) == 0)
      f.found +=
          ", " + human_bytes(static_cast<int64_t>(s.f_bavail) * static_cast<int64_t>(s.f_frsize)) + " free";
    if (::access(there.c_str(), W_OK) != 0) {
      f.verdict = Verdict::kBad;
      f.advice = "it cannot be written: set HOIST_MODELS to a folder that can";
    }
  } catch (const Error& e) {
    f.verdict = Verdict::kBad;
    f.advice = e.what();
  }
  return f;
}

Finding schedules() {
  const std::string path = autotune::default_schedules_path();
  Finding f{Verdict::kGood, "tuned schedules", path, ""};
  if (!io::path_exists(path)) {
    f.verdict = Verdict::kNote;
    f.found = "none";
    f.advice = "`hoist tune MODEL` may gain some percent; the defaults are good";
    return f;
  }
  try {
    const auto entries = autotune::parse_schedules(io::read_file(path, 64 << 20), path);
    f.found += ", " + std::to_string(entries.size()) + " entries";
  } catch (const Error& e) {
    f.verdict = Verdict::kBad;
    f.advice = std::string(e.what()) + "; remove the file, or tune again";
  }
  return f;
}

}  // namespace

void add_doctor(Command root) {
  auto json = std::make_shared<bool>(false);
  Command app =
      root.command("doctor", "Look at this machine: what helps or hinders, and what to do about it");
  app.flag("--json", *json, "Print an array as JSON");
  app.footer("Ends with exit status 1 when something keeps Hoist from working.");
  app.callback([json] {
    const Topology topology = Topology::detect();
    const std::vector<Finding> findings = {processor(),  cores(topology), memory(topology),
                                           huge_pages(), governor(),      open_files(),
                                           loopback(),   store(),         schedules()};
    constexpr const char* kNames[] = {"ok", "note", "bad"};
    io::JsonValue out = io::JsonValue::array();
    int bad = 0;
    for (const Finding& f : findings) {
      bad += f.verdict == Verdict::kBad;
      const char* verdict = kNames[static_cast<int>(f.verdict)];
      if (*json) {
        out.push_back({{"what", f.what}, {"verdict", verdict}, {"found", f.found}, {"advice", f.advice}});
      } else {
        std::printf("%-5s %-18s %s\n", verdict, f.what.c_str(), f.found.c_str());
        if (!f.advice.empty()) std::printf("      %s\n", f.advice.c_str());
      }
    }
    if (*json) std::printf("%s\n", out.dump(1).c_str());
    if (bad > 0)
      throw Error(ErrorCode::kUnavailable, std::to_string(bad) + " of these keep Hoist from working");
  });
}

}  // namespace hoist::cli
