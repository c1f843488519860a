// Fuzz: any text at all goes through parse; what is accepted must print, parse back to the same text, and
// give verify, the axis rules and the cost count nothing to trip over. Refusals are hoist::Error and nothing
// else. Names are interned for ever (base/symbol.h); after 2^20 of them new names are refused, which is an
// Error too.
// Links: ops ir
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/error.h"
#include "ir/graph.h"
#include "ops/table.h"

namespace {

void look_at(const hoist::ir::Graph& graph) {
  for (const hoist::ir::Node& node : graph.nodes) {
    hoist::ir::NodeTypes types(graph, node);
    hoist::ir::axis_rules(types.view);
    hoist::ir::count_flops(types.view);
  }
  try {
    hoist::ir::verify(graph, graph.stage);
  } catch (const hoist::Error&) {
  }
}

// The text of an example of an op: seeds that are never out of date.
std::string example_text(unsigned choice) {
  const auto all = hoist::ops::all_ops();
  const hoist::ir::OpDef& op = *all[choice % all.size()];
  std::vector<hoist::ir::Example> examples;
  op.examples(examples);
  const hoist::ir::Example& example = examples[choice / all.size() % examples.size()];
  hoist::ir::Graph graph;
  hoist::ir::Builder b(graph);
  std::vector<hoist::ir::ValueId> inputs;
  for (const auto& operand : example.operands)
    inputs.push_back(b.input("x" + std::to_string(inputs.size()), operand.type));
  for (hoist::ir::ValueId v : b.emit(op, example.attrs, inputs)) b.output("y" + std::to_string(v), v);
  return hoist::ir::print(graph);
}

}  // namespace

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Now and then starts over from an example, then mutates as usual.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  if (seed % 16 == 0) {
    const std::string text = example_text(seed / 16);
    size = std::min(text.size(), max_size);
    std::memcpy(data, text.data(), size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  hoist::ir::Graph graph;
  try {
    graph = hoist::ir::parse(text, hoist::ops::find_op);
  } catch (const hoist::Error&) {
    return 0;
  }
  const std::string printed = hoist::ir::print(graph);
  std::string again;
  try {
    again = hoist::ir::print(hoist::ir::parse(printed, hoist::ops::find_op));
  } catch (const hoist::Error& e) {
    HOIST_CHECK(std::string_view(e.what()).find("too many distinct names") != std::string_view::npos,
                e.what());
    return 0;
  }
  HOIST_CHECK(again == printed, "text changed:\n" + printed + "\nbecame\n" + again);
  look_at(graph);
  return 0;
}
