// hoist bench: what the machine can do, and how close the kernels come to it.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/error.h"
#include "bench/harness.h"
#include "bench/kernel_cases.h"
#include "bench/machine.h"
#include "bench/peers.h"
#include "cli/options.h"

namespace hoist::cli {

namespace {

using bench::Row;

// Rows as a table while they come, or all of them as JSON at the end; on a terminal a line below says how far
// it is and how long it will take.
class Printer {
 public:
  explicit Printer(bool json) : json_(json), terminal_(isatty(2) != 0), start_(bench::now()) {
    if (!json_) std::printf("%s\n", bench::header_line().c_str());
  }
  void row(const Row& r) {
    clear();
    if (json_) return;
    std::printf("%s\n", bench::to_line(r).c_str());
    std::fflush(stdout);
  }
  void progress(int64_t at, int64_t total, const std::string& what) {
    if (!terminal_ || total <= 0) return;
    const double spent = bench::now() - start_;
    const int64_t left =
        at > 0 ? static_cast<int64_t>(spent / static_cast<double>(at) * static_cast<double>(total - at)) : 0;
    std::fprintf(stderr, "\r\033[K[%lld/%lld] %s  %lld:%02lld left", static_cast<long long>(at),
                 static_cast<long long>(total), what.c_str(), static_cast<long long>(left / 60),
                 static_cast<long long>(left % 60));
    std::fflush(stderr);
    drawn_ = true;
  }
  void finish(const std::vector<Row>& rows) {
    clear();
    if (json_) std::printf("%s\n", bench::to_json(rows).c_str());
  }

 private:
  void clear() {
    if (drawn_) std::fprintf(stderr, "\r\033[K");
    drawn_ = false;
  }
  bool json_, terminal_, drawn_ = false;
  double start_;
};

struct Common {
  std::string isa;
  int threads = 0, rounds = 7;
  bool json = false, small = false;

  void add(CLI::App& app) {
    option(app, "--threads", threads, "Threads; 0: one per core");
    option(app, "--rounds", rounds, "Turns of each participant; figures are medians");
    option(app, "--isa", isa, "portable, avx2 or avx512; empty: the best of this machine");
    flag(app, "--json", json, "Print an array of rows as JSON");
  }
  kernels::Isa instruction_set() const {
    if (isa.empty()) return kernels::best_isa();
    for (kernels::Isa i : {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512})
      if (kernels::isa_name(i) == isa) {
        if (!kernels::isa_available(i)) throw_unsupported("--isa: this machine has no " + isa);
        return i;
      }
    throw_invalid("--isa: found '" + isa + "', expected portable, avx2 or avx512");
  }
  void check() const {
    if (rounds < 1 || rounds > 1000)
      throw_invalid("--rounds: found " + std::to_string(rounds) + ", expected 1..1000");
    if (threads < 0 || threads > 4096)
      throw_invalid("--threads: found " + std::to_string(threads) + ", expected 0..4096");
  }
};

struct MachineFlags : Common {
  std::string disk = "/var/tmp", disk_size = "1GiB", memory_size;
};

void run_machine(const MachineFlags& f) {
  f.check();
  bench::MachineOptions o;
  o.isa = f.instruction_set();
  o.threads = f.threads;
  o.rounds = f.rounds;
  o.disk = f.disk;
  o.disk_bytes = parse_bytes(f.disk_size, "--disk-size");
  if (!f.memory_size.empty()) o.memory_bytes = parse_bytes(f.memory_size, "--memory-size");
  Printer printer(f.json);
  printer.finish(bench::measure_machine(o, [&](const Row& r) { printer.row(r); }));
}

struct KernelFlags : Common {
  std::string filter, memory_size;
  std::vector<std::string> peers;
};

void run_kernels(const KernelFlags& f) {
  f.check();
  ThreadPoolOptions options;
  options.threads = f.threads;
  ThreadPool pool(options);
  bench::Peers peers(pool.threads());
  for (const std::string& spec : f.peers) peers.open(spec);
  const bench::Setting setting{f.instruction_set(), pool.threads(), pool, peers};
  bench::Ceilings ceilings(setting.isa, pool,
                           f.memory_size.empty() ? 0 : parse_bytes(f.memory_size, "--memory-size"));
  std::vector<bench::Case> cases;
  const bench::CaseOptions which{f.small};
  bench::add_gemm_cases(which, cases);
  bench::add_gemv_cases(which, cases);
  bench::add_attention_cases(which, cases);
  bench::add_memory_cases(which, cases);
  bench::HarnessOptions harness;
  harness.filter = f.filter;
  harness.rounds = f.rounds;
  if (f.small) harness.turn_seconds = 0;
  Printer printer(f.json);
  std::vector<Row> rows =
      bench::run_cases(cases, harness, setting, ceilings, [&](const Row& r, int64_t at, int64_t total) {
        printer.row(r);
        printer.progress(at, total, r.name + " " + r.shape);
      });
  if (rows.empty())
    throw_invalid("--filter: found '" + f.filter + "', which no case's name or shape contains");
  printer.finish(rows);
}

}  // namespace

void add_bench(CLI::App& root) {
  CLI::App& app = *root.add_subcommand("bench", "Measure this machine, the kernels, training and generation");
  app.require_subcommand(1);
  {
    auto f = std::make_shared<MachineFlags>();
    CLI::App& sub = *app.add_subcommand("machine", "Ceilings: multiply-adds, memory, disk, threads");
    f->add(sub);
    option(sub, "--disk", f->disk, "A folder on the disk to measure; empty: none");
    option(sub, "--disk-size", f->disk_size, "Bytes written to the disk and read back");
    option(sub, "--memory-size", f->memory_size, "Bytes walked for the bandwidths; empty: eight caches");
    sub.footer("Example:\n  hoist bench machine --json");
    sub.callback([f] { run_machine(*f); });
  }
  {
    auto f = std::make_shared<KernelFlags>();
    CLI::App& sub = *app.add_subcommand("kernels", "Every kernel against its ceiling and against peers");
    f->add(sub);
    option(sub, "--filter", f->filter, "Only rows whose name or shape contains this");
    sub.add_option("--peer", f->peers,
                   "A library to measure beside ours: openblas=LIBRARY, blis=LIBRARY, onednn=LIBRARY; may be "
                   "given several times")
        ->envname("HOIST_PEER")
        ->expected(1)
        ->take_all();
    option(sub, "--memory-size", f->memory_size, "Bytes walked for the bandwidths; empty: eight caches");
    flag(sub, "--small", f->small, "Tiny sizes, one run each: whether it works, not how fast");
    sub.footer("Example:\n  hoist bench kernels --filter gemm.f32 --peer openblas=/usr/lib/libopenblas.so");
    sub.callback([f] { run_kernels(*f); });
  }
}

}  // namespace hoist::cli
