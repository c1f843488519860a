// hoist bench: what the machine can do, and how close the kernels come to it.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/error.h"
#include "bench/encoder.h"
#include "bench/generate.h"
#include "bench/harness.h"
#include "bench/kernel_cases.h"
#include "bench/machine.h"
#include "bench/peers.h"
#include "bench/train.h"
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
  // What is being done now, on a terminal.
  void note(const std::string& what) {
    if (!terminal_) return;
    std::fprintf(stderr, "\r\033[K%s  (%.0f s)", what.c_str(), bench::now() - start_);
    std::fflush(stderr);
    drawn_ = true;
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

  void add(Command app) {
    app.option("--threads", threads, "Threads; 0: one per core");
    app.option("--rounds", rounds, "Turns of each participant; figures are medians");
    app.option("--isa", isa, "portable, avx2, avx512 or avx512dot; empty: the best of this machine");
    app.flag("--json", json, "Print an array of rows as JSON");
  }
  kernels::Isa instruction_set() const {
    if (isa.empty()) return kernels::best_isa();
    for (kernels::Isa i :
         {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot})
      if (kernels::isa_name(i) == isa) {
        if (!kernels::isa_available(i)) throw_unsupported("--isa: this machine has no " + isa);
        return i;
      }
    throw_invalid("--isa: found '" + isa + "', expected portable, avx2, avx512 or avx512dot");
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
  bench::add_moe_cases(which, cases);
  bench::add_attention_cases(which, cases);
  bench::add_memory_cases(which, cases);
  bench::add_codec_cases(which, cases);
  bench::add_conv_cases(which, cases);
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

// How much faster all threads are than one, row by row.
std::vector<Row> scaling_rows(const std::vector<Row>& one, const std::vector<Row>& all) {
  std::vector<Row> out;
  for (size_t i = 0; i < one.size() && i < all.size(); ++i) {
    Row r = all[i];
    r.name += ".scaling";
    r.unit = "x";
    r.value = all[i].value / one[i].value;
    r.ceiling = static_cast<double>(all[i].threads) / static_cast<double>(one[i].threads);
    r.peers.clear();
    out.push_back(std::move(r));
  }
  return out;
}

// Runs `measure` with the threads asked for; with `scaling` on one thread first (without peers).
template <class Options, class Measure>
void run_scaled(Options options, bool scaling, bool json, Measure measure) {
  Printer printer(json);
  auto note = [&](const std::string& text) { printer.note(text); };
  std::vector<Row> rows, one;
  auto take = [&](const std::vector<Row>& list) {
    for (const Row& r : list) {
      printer.row(r);
      rows.push_back(r);
    }
  };
  if (scaling) {
    Options single = options;
    single.threads = 1;
    single.peers.clear();
    one = measure(single, note);
    take(one);
  }
  const std::vector<Row> all = measure(options, note);
  take(all);
  if (scaling) take(scaling_rows(one, all));
  printer.finish(rows);
}

struct ModelFlags : Common {
  std::vector<std::string> peers;
  std::string memory_size;
  bool scaling = false;

  void add_to(Command app, const char* rows) {
    add(app);
    app.add_option("--peer", peers,
                   std::string("A command to run in turns with ours, which prints tokens per second: "
                               "ROW:NAME[:KEY]=COMMAND, the number after the last KEY counting; rows: ") +
                       rows)
        .repeated();
    app.flag("--scaling", scaling, "Measure one thread too, and how much faster all of them are");
    app.option("--memory-size", memory_size, "Bytes walked for the bandwidths; empty: eight caches");
  }
  template <class Options>
  void fill(Options& o, const std::vector<std::string>& rows) const {
    check();
    if (!isa.empty()) throw_unsupported("--isa: whole models run on the best set; HOIST_ISA lowers it");
    o.threads = threads;
    o.rounds = rounds;
    if (!memory_size.empty()) o.memory_bytes = parse_bytes(memory_size, "--memory-size");
    for (const std::string& text : peers) o.peers.push_back(bench::parse_command_peer(text, rows));
  }
};

void add_bench_train(Command app) {
  struct Flags : ModelFlags {
    bench::TrainOptions options;
  };
  auto f = std::make_shared<Flags>();
  Command sub = app.command("train", "A training step of GPT-2: forward, backward, AdamW");
  f->rounds = f->options.rounds;
  f->add_to(sub, "train");
  sub.option("--shape", f->options.shape, "gpt2-124m, llama-1.1b or tiny");
  sub.option("--dtype", f->options.dtype, "f32, or bf16 with f32 masters");
  sub.option("--batch", f->options.batch, "Sequences in a step");
  sub.option("--seq", f->options.seq, "Tokens in a sequence");
  sub.footer(
      "Example:\n  hoist bench train --batch 4 --seq 64 --peer 'train:torch=python3 "
      "scripts/bench_torch_gpt2.py --batch 4 --seq 64'");
  sub.callback([f] {
    f->fill(f->options, {"train"});
    run_scaled(f->options, f->scaling, f->json, [](const bench::TrainOptions& o, const auto& note) {
      return std::vector<Row>{bench::measure_train(o, note)};
    });
  });
}

void add_bench_generate(Command app) {
  struct Flags : ModelFlags {
    bench::GenerateOptions options;
  };
  auto f = std::make_shared<Flags>();
  Command sub = app.command("generate", "Reading prompts and decoding, with random weights");
  bench::GenerateOptions& o = f->options;
  f->rounds = o.rounds;
  f->add_to(sub, "prompt, decode");
  sub.option("--shape", o.shape, "llama-1.1b, gpt2-124m or tiny");
  sub.option("--model", o.model, "A model folder, instead of a shape with random weights");
  sub.option("--quant", o.quant, "How weights are kept: f32, bf16, q8_0, q4_0 or q4_k");
  sub.option("--prompt", o.prompt, "Tokens of each prompt");
  sub.option("--tokens", o.tokens, "Tokens to decode for each stream");
  sub.option("--streams", o.streams, "Sequences decoded in one batch");
  sub.option("--context", o.context, "Tokens before the first that decode measures; 0: the prompt's");
  sub.option("--step-tokens", o.step_tokens, "Prompt tokens computed at once");
  sub.option("--cache", o.cache, "Dtype of keys and values");
  sub.footer(
      "Example:\n  hoist bench generate --shape llama-1.1b --quant bf16 --prompt 256 --peer "
      "'prompt:llama.cpp:avg_ts=llama-bench -m model.gguf -p 256 -n 0 -t 2 -o json'");
  sub.callback([f] {
    f->fill(f->options, {"prompt", "decode"});
    run_scaled(f->options, f->scaling, f->json, [](const bench::GenerateOptions& options, const auto& note) {
      return bench::measure_generate(options, note);
    });
  });
}

void add_bench_encoder(Command app) {
  struct Flags : ModelFlags {
    bench::EncoderBenchOptions options;
  };
  auto f = std::make_shared<Flags>();
  Command sub =
      app.command("encoder", "An encoder on requests of many lengths: batches planned, and as they came");
  bench::EncoderBenchOptions& o = f->options;
  f->rounds = o.rounds;
  f->add_to(sub, "encoder.dp (requests per second)");
  sub.option("--shape", o.shape, "bert-base or tiny");
  sub.option("--requests", o.requests, "Requests, all waiting at the start");
  sub.option("--shortest", o.shortest, "Tokens of the shortest request");
  sub.option("--longest", o.longest, "Tokens of the longest request");
  sub.option("--seed", o.seed, "Of the lengths");
  sub.option("--batch-tokens", o.batch_tokens, "Tokens of one batch");
  sub.option("--batch-seqs", o.batch_seqs, "Requests of one batch");
  sub.footer(
      "Example:\n  hoist bench encoder --requests 250 --peer 'encoder.dp:torch:requests_per_second=python3 "
      "scripts/bench_torch_encoder.py --requests 250'");
  sub.callback([f] {
    f->fill(f->options, {"encoder.dp"});
    run_scaled(f->options, f->scaling, f->json,
               [](const bench::EncoderBenchOptions& options, const auto& note) {
                 return bench::measure_encoder(options, note);
               });
  });
}

}  // namespace

void add_bench(Command root) {
  Command app = root.command("bench", "Measure this machine, the kernels, training, generation and servers");
  app.require_command();
  {
    auto f = std::make_shared<MachineFlags>();
    Command sub = app.command("machine", "Ceilings: multiply-adds, memory, disk, threads");
    f->add(sub);
    sub.option("--disk", f->disk, "A folder on the disk to measure; empty: none");
    sub.option("--disk-size", f->disk_size, "Bytes written to the disk and read back");
    sub.option("--memory-size", f->memory_size, "Bytes walked for the bandwidths; empty: eight caches");
    sub.footer("Example:\n  hoist bench machine --json");
    sub.callback([f] { run_machine(*f); });
  }
  {
    auto f = std::make_shared<KernelFlags>();
    Command sub = app.command("kernels", "Every kernel against its ceiling and against peers");
    f->add(sub);
    sub.option("--filter", f->filter, "Only rows whose name or shape contains this");
    sub.add_option("--peer", f->peers,
                   "A library to measure beside ours: openblas=LIBRARY, blis=LIBRARY, onednn=LIBRARY; may be "
                   "given several times")
        .repeated();
    sub.option("--memory-size", f->memory_size, "Bytes walked for the bandwidths; empty: eight caches");
    sub.flag("--small", f->small, "Tiny sizes, one run each: whether it works, not how fast");
    sub.footer("Example:\n  hoist bench kernels --filter gemm.f32 --peer openblas=/usr/lib/libopenblas.so");
    sub.callback([f] { run_kernels(*f); });
  }
  add_bench_train(app);
  add_bench_generate(app);
  add_bench_policies(app);
  add_bench_serve(app);
  add_bench_encoder(app);
}

}  // namespace hoist::cli
