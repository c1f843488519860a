#include "ops/cases.h"

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "base/rng.h"

namespace hoist::testing {

using ir::Attrs;
using ir::Builder;
using ir::Graph;
using ir::Type;
using ir::ValueId;

std::vector<Type> Case::operand_types() const {
  std::vector<Type> types;
  for (const HostTensor& t : operands) types.push_back(t.type);
  return types;
}

Case make_case(const ir::OpDef& op, const ir::Example& example, uint64_t seed) {
  Case c{&op, example.attrs, {}};
  const uint64_t base = stable_hash(op.name) ^ stable_hash(example.note) ^ seed;
  for (size_t i = 0; i < example.operands.size(); ++i)
    c.operands.push_back(draw(example.operands[i], base + 977 * i));
  return c;
}

ThreadPool& test_pool() {
  static ThreadPool pool({.threads = 2, .spin_microseconds = 0});
  return pool;
}

const kernels::KernelTable& ref() { return kernels::ref_table(); }

std::vector<const kernels::KernelTable*> test_tables() {
  std::vector<const kernels::KernelTable*> tables{&kernels::ref_table()};
  for (auto isa :
       {kernels::Isa::kPortable, kernels::Isa::kAvx2, kernels::Isa::kAvx512, kernels::Isa::kAvx512Dot})
    if (kernels::isa_available(isa)) tables.push_back(&kernels::cpu_table(isa));
  return tables;
}

Graph graph_of(const std::vector<Type>& inputs, const Body& body) {
  Graph graph;
  Builder b(graph);
  Ids ids;
  for (size_t i = 0; i < inputs.size(); ++i) ids.push_back(b.input("x" + std::to_string(i), inputs[i]));
  Ids out = body(b, ids);
  for (size_t i = 0; i < out.size(); ++i) b.output("y" + std::to_string(i), out[i]);
  return graph;
}

Tensors run_graph(const Graph& graph, const Tensors& inputs, const kernels::KernelTable& table,
                  const runtime::LiveLengths& live) {
  runtime::Bindings bound;
  for (size_t i = 0; i < inputs.size(); ++i) bound.emplace("x" + std::to_string(i), inputs[i]);
  auto result = runtime::interpret(graph, bound, {}, table, test_pool(), live);
  Tensors out;
  for (size_t i = 0; i < graph.outputs.size(); ++i) out.push_back(result.outputs.at("y" + std::to_string(i)));
  return out;
}

Graph op_graph(const Case& c) {
  return graph_of(c.operand_types(), [&](Builder& b, const Ids& x) { return b.emit(*c.op, c.attrs, x); });
}

Tensors run_case(const Case& c, const kernels::KernelTable& table, const runtime::LiveLengths& live) {
  return run_graph(op_graph(c), c.operands, table, live);
}

Tensors run_decomposed(const Case& c) {
  if (!c.op->decompose) return run_case(c, ref());
  const std::vector<Type> operands = c.operand_types(), results = c.result_types();
  const ir::OpView view{c.op, &c.attrs, operands, results};
  Graph graph = graph_of(operands, [&](Builder& b, const Ids& x) { return c.op->decompose(b, view, x); });
  return run_graph(graph, c.operands, ref());
}

namespace {

// Attributes whose value names a float dtype other than f64 (or any, when going to f64) get `to` instead.
Attrs with_float_attrs(const ir::OpDef& op, const Attrs& attrs, DType to) {
  std::string text = op.attrs->print(attrs);
  for (const char* from : {"=f32", "=bf16", "=f16", "=f64"}) {
    const std::string old = from;
    for (size_t at = 0; (at = text.find(old, at)) != std::string::npos;) {
      const size_t end = at + old.size();
      if (end == text.size() || text[end] == ',')
        text.replace(at, old.size(), "=" + std::string(dtype_name(to)));
      ++at;
    }
  }
  return op.attrs->parse(text);
}

bool accepted(const Case& c) {
  try {
    c.result_types();
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::optional<Retyped> with_floats(const Case& c, DType to) {
  std::vector<size_t> floats;
  for (size_t i = 0; i < c.operands.size(); ++i)
    if (is_float(c.operands[i].type.dtype)) floats.push_back(i);
  std::vector<uint32_t> choices;
  for (uint32_t mask = 1; mask < (1u << std::min<size_t>(floats.size(), 12)); ++mask) choices.push_back(mask);
  std::stable_sort(choices.begin(), choices.end(),
                   [](uint32_t a, uint32_t b) { return std::popcount(a) > std::popcount(b); });
  for (uint32_t mask : choices)
    for (bool attrs : {true, false}) {
      Retyped r{c, std::vector<uint8_t>(c.operands.size())};
      if (attrs) r.c.attrs = with_float_attrs(*c.op, c.attrs, to);
      for (size_t k = 0; k < floats.size(); ++k)
        if (mask >> k & 1) {
          r.c.operands[floats[k]].type.dtype = to;
          r.switched[floats[k]] = 1;
        }
      if (!accepted(r.c)) continue;
      for (size_t i : floats)
        if (r.switched[i]) r.c.operands[i] = convert(c.operands[i], to);
      return r;
    }
  return std::nullopt;
}

}  // namespace hoist::testing
