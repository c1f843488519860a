// One example of one op, with drawn operands, and the ways to run it.
#pragma once

#include <functional>
#include <optional>

#include "ir/graph.h"
#include "ops/tensors.h"

namespace hoist::testing {

using Tensors = std::vector<HostTensor>;
using Ids = std::vector<ir::ValueId>;

struct Case {
  const ir::OpDef* op = nullptr;
  ir::Attrs attrs;
  Tensors operands;

  std::vector<ir::Type> operand_types() const;
  std::vector<ir::Type> result_types() const { return ir::infer_types(*op, attrs, operand_types()); }
};

Case make_case(const ir::OpDef& op, const ir::Example& example, uint64_t seed = 1);

// A pool of two threads shared by all tests of this binary.
ThreadPool& test_pool();
// ref and every CPU table this machine can run.
std::vector<const kernels::KernelTable*> test_tables();
const kernels::KernelTable& ref();

// A graph over inputs of the given types ("x0", "x1", ...) whose outputs ("y0", ...) are what `body` returns.
using Body = std::function<Ids(ir::Builder&, const Ids& inputs)>;
ir::Graph graph_of(const std::vector<ir::Type>& inputs, const Body& body);
Tensors run_graph(const ir::Graph& graph, const Tensors& inputs, const kernels::KernelTable& table,
                  const runtime::LiveLengths& live = {});

ir::Graph op_graph(const Case& c);
Tensors run_case(const Case& c, const kernels::KernelTable& table, const runtime::LiveLengths& live = {});
// The op's decomposition on the reference kernels; the op itself when it is a primitive.
Tensors run_decomposed(const Case& c);

// The case with every floating-point operand and every dtype attribute that is a float set to `to`. Where the
// op insists on f32 for some operands, as many as it allows are switched; `switched` says which. nullopt:
// none may be.
struct Retyped {
  Case c;
  std::vector<uint8_t> switched;
};
std::optional<Retyped> with_floats(const Case& c, DType to);

}  // namespace hoist::testing
