// hoist inspect: what is in a model folder, a GGUF or weight file, or a graph's text form - and what it will
// need.
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "base/error.h"
#include "cli/options.h"
#include "decode/engine.h"
#include "hub/store.h"
#include "io/files.h"
#include "io/gguf.h"
#include "io/json_value.h"
#include "io/safetensors.h"
#include "ops/table.h"
#include "passes/pipeline.h"
#include "plan/build.h"

namespace hoist::cli {

namespace {

using io::JsonValue;

struct InspectOptions {
  std::string path;
  bool json = false, tensors = false, plan = false, graph = false;
  int64_t batch = 8, seq = 0, max_seqs = 16, step_tokens = 256, context = 0;
  std::string precision = "f32";
  int threads = 0;
};

// A tensor as a listing shows it.
struct TensorRow {
  std::string name, dtype, format;  // format: empty unless known
  std::vector<int64_t> shape;
  int64_t bytes;
  std::string file;

  TensorRow(const io::TensorInfo& t, const std::string& path)
      : name(t.name), dtype(t.dtype_text), format(t.format), shape(t.shape), bytes(t.bytes()), file(path) {}
  TensorRow(const io::GgufTensor& t, const std::string& path)
      : name(t.name),
        dtype(t.type->name),
        shape(t.dims.rbegin(), t.dims.rend()),
        bytes(t.bytes),
        file(path) {}

  JsonValue json() const {
    JsonValue j;
    j["name"] = name;
    j["dtype"] = dtype;
    if (!format.empty()) j["format"] = format;
    j["shape"] = shape;
    j["bytes"] = bytes;
    j["file"] = file;
    return j;
  }
};

struct TrainingMemory {
  int64_t batch, seq;
  int64_t parameters = 0, optimizer = 0, arena = 0;  // bytes
  int64_t total() const { return parameters + optimizer + arena; }

  JsonValue json(const std::string& precision) const {
    return {{"batch", batch},
            {"seq", seq},
            {"precision", precision},
            {"parameters_bytes", parameters},
            {"optimizer_bytes", optimizer},
            {"arena_bytes", arena},
            {"total_bytes", total()}};
  }
};

struct ServingMemory {
  int64_t sequences, cache_tokens;
  int64_t weights = 0, cache = 0, arena = 0;  // bytes
  int64_t total() const { return weights + cache + arena; }

  JsonValue json() const {
    return {{"sequences", sequences}, {"cache_tokens", cache_tokens}, {"weights_bytes", weights},
            {"cache_bytes", cache},   {"arena_bytes", arena},         {"total_bytes", total()}};
  }
};

// Memory of a training step, read off its compiled plan: nothing is allocated for it.
TrainingMemory training_memory(const io::ModelConfig& config, const InspectOptions& o,
                               const kernels::KernelTable& table) {
  models::TrainShape shape;
  shape.batch = o.batch;
  shape.seq = o.seq > 0 ? o.seq : std::min<int64_t>(config.max_position, 1024);
  auto dtype = dtype_from_name(o.precision);
  if (dtype != DType::f32 && dtype != DType::bf16)
    throw_invalid("--precision: found '" + o.precision + "', expected f32 or bf16");
  shape.dtype = *dtype;
  plan::BuildOptions build;
  ThreadPoolOptions pool;
  build.compile.threads = o.threads > 0 ? o.threads : static_cast<int>(Topology::detect().cores.size());
  passes::PassRunner runner(build.passes);
  passes::TrainGraphs graphs = passes::training_passes(models::train_graph(config, shape), {}, 1, runner);
  plan::Plan plan = plan::build(graphs.step, table, build).plan;
  TrainingMemory memory{shape.batch, shape.seq};
  for (const plan::StateSlot& s : plan.states)
    (s.role == ir::Role::kParameter ? memory.parameters : memory.optimizer) += s.type.bytes();
  memory.arena = plan.arena_bytes;
  return memory;
}

ServingMemory serving_memory(const io::ModelConfig& config, DType stored, const InspectOptions& o,
                             const kernels::KernelTable& table, plan::Plan* out) {
  decode::EngineOptions options;
  options.max_seqs = o.max_seqs;
  options.step_tokens = o.step_tokens;
  options.prompt_rows = decode::kServedPromptRows;
  options.context = o.context;
  models::ServeShape shape = decode::serve_shape(config, stored, options);
  plan::BuildOptions build;
  build.compile.threads = o.threads > 0 ? o.threads : static_cast<int>(Topology::detect().cores.size());
  *out = plan::build(models::serve_graph(config, shape), table, build).plan;
  ServingMemory memory{shape.seqs, shape.blocks * shape.block};
  for (const plan::StateSlot& s : out->states)
    (s.role == ir::Role::kCache ? memory.cache : memory.weights) += s.type.bytes();
  memory.arena = out->arena_bytes;
  return memory;
}

// Short values as they are; of long arrays the beginning, as text.
JsonValue metadata_json(const io::GgufMetadata& metadata) {
  JsonValue out = JsonValue::object();
  for (const auto& [key, value] : metadata.entries()) {
    if (value.is_array)
      out[key] = value.excerpt();
    else if (value.type == io::GgufType::kString)
      out[key] = std::string(value.text());
    else if (value.type == io::GgufType::kBool)
      out[key] = *value.integer() != 0;
    else if (const auto n = value.integer())
      out[key] = *n;
    else
      out[key] = *value.number();
  }
  return out;
}

void print_metadata(const io::GgufMetadata& metadata) {
  for (const auto& [key, value] : metadata.entries())
    std::printf("  %-40s %s\n", key.c_str(), value.excerpt().c_str());
}

void print_tensors(const std::vector<TensorRow>& tensors) {
  for (const TensorRow& t : tensors) {
    std::string shape;
    for (int64_t n : t.shape) shape += (shape.empty() ? "" : " x ") + std::to_string(n);
    std::printf("  %-56s %-8s %-22s %12s\n", t.name.c_str(), t.dtype.c_str(), shape.c_str(),
                human_bytes(t.bytes).c_str());
  }
}

void inspect_file(const InspectOptions& o) {
  JsonValue out;
  std::vector<TensorRow> tensors;
  int64_t bytes = 0;
  if (o.path.ends_with(".gguf")) {
    // A model of an architecture we do not compute: what the format itself says.
    const auto set = io::GgufSet::open(o.path);
    out["kind"] = "gguf";
    out["metadata"] = metadata_json(set->metadata());
    out["tensors"] = JsonValue::array();
    for (const auto& part : set->parts()) {
      bytes += part->data_bytes();
      for (const io::GgufTensor& t : part->tensors())
        out["tensors"].push_back(tensors.emplace_back(t, part->path()).json());
    }
    out["bytes"] = bytes;
    if (!o.json) print_metadata(set->metadata());
  } else if (o.path.ends_with(".safetensors")) {
    io::SafetensorsFile file(o.path);
    out["kind"] = "safetensors";
    out["metadata"] = file.metadata();
    for (const io::TensorInfo& t : file.tensors())
      out["tensors"].push_back(tensors.emplace_back(t, o.path).json());
    out["bytes"] = bytes = file.data_bytes();
  } else {
    std::string text = io::read_file(o.path, size_t{1} << 30);
    if (!text.starts_with("graph ")) io::refuse_foreign_weights(o.path);
    if (!text.starts_with("graph "))
      throw_unsupported(o.path + ": expected a model folder, a .safetensors file or a graph's text form");
    ir::Graph graph = ir::parse(text, ops::find_op);
    ir::verify(graph, graph.stage);
    out["kind"] = "graph";
    out["name"] = graph.name;
    out["stage"] = ir::stage_name(graph.stage);
    out["hash"] = ir::hash(graph);
    out["nodes"] = graph.nodes.size();
    double flops = 0;
    int64_t states = 0;
    for (const ir::Node& n : graph.nodes) flops += ir::count_flops(ir::NodeTypes(graph, n).view);
    for (const ir::State& s : graph.states) states += graph.type(s.value).bytes();
    out["flops"] = flops;
    out["state_bytes"] = states;
  }
  if (o.json) {
    std::printf("%s\n", out.dump().c_str());
    return;
  }
  if (out.contains("tensors")) {
    std::printf("%s: %zu tensors, %s\n", o.path.c_str(), tensors.size(), human_bytes(bytes).c_str());
    print_tensors(tensors);
  } else {
    std::printf("%s\n", out.dump(2).c_str());
  }
}

void run(const InspectOptions& o) {
  if (!io::is_directory(o.path)) {
    if (!io::path_exists(o.path)) throw_not_found(o.path + ": found no such file or folder");
    if (!o.path.ends_with(".gguf")) return inspect_file(o);
  }
  decode::Model model;
  try {
    model = decode::open_model(hub::resolve_model(o.path));
  } catch (const Error& e) {
    if (io::is_directory(o.path) || e.code() != ErrorCode::kUnsupported) throw;
    std::fprintf(stderr, "note: %s\n", e.what());
    return inspect_file(o);
  }
  const io::ModelConfig& c = model.config;
  const kernels::KernelTable& table = kernels::cpu_table(kernels::best_isa());
  JsonValue out;
  out["kind"] = "model";
  out["name"] = model.name;
  out["family"] = std::string(io::family_name(c.family));
  out["parameters"] = models::parameter_count(c);
  out["config"] = JsonValue::from_text(io::write_model_config(c));
  if (model.gguf) out["metadata"] = metadata_json(model.gguf->metadata());
  out["tokenizer"]["vocab"] = model.tokenizer->vocab_size();
  out["weights"]["stored_bytes"] = model.files->data_bytes();
  std::vector<TensorRow> tensors;
  for (const auto& e : model.files->tensors())
    out["weights"]["tensors"].push_back(tensors.emplace_back(*e.info, e.file->path()).json());
  plan::Plan serve_plan;
  const ServingMemory serving = serving_memory(c, model.stored_dtype(), o, table, &serve_plan);
  const TrainingMemory training = training_memory(c, o, table);
  out["memory_to_serve"] = serving.json();
  out["memory_to_train"] = training.json(o.precision);
  if (o.json) {
    std::printf("%s\n", out.dump().c_str());
    return;
  }
  std::printf("%s: %s, %s parameters, %s on disk in %zu tensors\n", model.name.c_str(),
              std::string(io::family_name(c.family)).c_str(), human_count(models::parameter_count(c)).c_str(),
              human_bytes(model.files->data_bytes()).c_str(), model.files->tensors().size());
  std::printf(
      "  width %lld, %lld layers, %lld query heads over %lld key heads of %lld, MLP %lld, vocabulary %lld, "
      "context %lld%s\n",
      static_cast<long long>(c.hidden), static_cast<long long>(c.layers), static_cast<long long>(c.heads),
      static_cast<long long>(c.kv_heads), static_cast<long long>(c.head_dim),
      static_cast<long long>(c.intermediate), static_cast<long long>(c.vocab),
      static_cast<long long>(c.max_position), c.tie_word_embeddings ? ", tied head" : "");
  if (c.window > 0) std::printf("  window of %lld tokens\n", static_cast<long long>(c.window));
  if (c.experts > 0)
    std::printf("  %lld experts of %lld, %lld for each token%s\n", static_cast<long long>(c.experts),
                static_cast<long long>(c.expert_intermediate), static_cast<long long>(c.experts_per_token),
                c.shared_intermediate > 0 ? ", and one for all" : "");
  if (model.gguf) {
    std::map<std::string, std::pair<int64_t, int64_t>> formats;  // tensors and bytes
    for (const auto& e : model.files->tensors()) {
      auto& [tensors, bytes] = formats[e.info->dtype_text];
      ++tensors;
      bytes += e.info->bytes();
    }
    for (const auto& [format, sum] : formats)
      std::printf("  %-6s %lld tensors, %s\n", format.c_str(), static_cast<long long>(sum.first),
                  human_bytes(sum.second).c_str());
  }
  std::printf("  memory to serve: %s (weights %s, KV cache of %lld tokens %s, work space %s)\n",
              human_bytes(serving.total()).c_str(), human_bytes(serving.weights).c_str(),
              static_cast<long long>(serving.cache_tokens), human_bytes(serving.cache).c_str(),
              human_bytes(serving.arena).c_str());
  std::printf(
      "  memory to train: %s in %s, batch %lld x %lld tokens (parameters %s, optimizer %s, activations and "
      "gradients %s)\n",
      human_bytes(training.total()).c_str(), o.precision.c_str(), static_cast<long long>(training.batch),
      static_cast<long long>(training.seq), human_bytes(training.parameters).c_str(),
      human_bytes(training.optimizer).c_str(), human_bytes(training.arena).c_str());
  if (model.gguf) print_metadata(model.gguf->metadata());
  if (o.tensors) print_tensors(tensors);
  if (o.plan) std::printf("%s", plan::print(serve_plan).c_str());
  if (o.graph) {
    decode::EngineOptions options;
    options.max_seqs = o.max_seqs;
    options.context = o.context;
    std::printf(
        "%s",
        ir::print(models::serve_graph(c, decode::serve_shape(c, model.stored_dtype(), options))).c_str());
  }
}

}  // namespace

void add_inspect(Command root) {
  auto o = std::make_shared<InspectOptions>();
  Command app =
      root.command("inspect", "What is in a model, a weight file or a graph, and what memory it needs");
  app.add_option("path", o->path, "Model folder, .gguf or .safetensors file, or a graph's text form")
      .required()
      .envname("HOIST_PATH");
  app.flag("--json", o->json, "Print one JSON object");
  app.flag("--tensors", o->tensors, "List every tensor");
  app.flag("--plan", o->plan, "Print the serving plan, instruction by instruction");
  app.flag("--graph", o->graph, "Print the serving graph in text form");
  app.option("--batch", o->batch, "Memory to train: sequences in a batch")
      .range(int64_t{1}, int64_t{1} << 20);
  app.option("--seq", o->seq, "Memory to train: tokens in a sequence; 0: the context, at most 1024");
  app.option("--precision", o->precision, "Memory to train: f32, or bf16 with f32 masters");
  app.option("--max-seqs", o->max_seqs, "Memory to serve: sequences at once")
      .range(int64_t{1}, int64_t{4096});
  app.option("--step-tokens", o->step_tokens, "Memory to serve: tokens in one step")
      .range(int64_t{1}, int64_t{65536});
  app.option("--context", o->context, "Memory to serve: longest sequence; 0: the model's own, at most 8192");
  app.option("--threads", o->threads, "Threads the plans are made for; 0: one per core");
  app.footer("Example:\n  hoist inspect path/to/model --batch 16 --seq 512 --precision bf16");
  app.callback([o] { run(*o); });
}

}  // namespace hoist::cli
