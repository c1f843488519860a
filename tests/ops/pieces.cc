#include "ops/pieces.h"

#include <algorithm>

namespace hoist::testing {

using ir::AxisKind;
using ir::AxisRule;
using ir::Builder;
using ir::Monoid;
using ir::OpView;
using ir::Type;

namespace {

// Where a cut of the rule's axis falls in a dimension of another size (an axis merged with others around it).
int64_t scaled(int64_t at, int64_t size, int64_t extent) {
  HOIST_CHECK(at * size % extent == 0, "a piece's border falls between elements");
  return at * size / extent;
}

HostTensor part(const HostTensor& t, int dim, const AxisRule& rule, int64_t begin, int64_t end) {
  if (dim < 0) return t;
  const int64_t size = t.type.dims[dim].size;
  return slice(t, dim, scaled(begin, size, rule.extent), scaled(end, size, rule.extent));
}

// The input rows that results [begin, end) read, and how much padding stands in for those outside.
struct Halo {
  int64_t begin, end, pad_lo, pad_hi;
};
Halo halo_of(const ir::Window& w, int64_t begin, int64_t end, int64_t input) {
  const int64_t lo = begin * w.stride - w.pad_lo;
  const int64_t hi = (end - 1) * w.stride + (w.taps - 1) * w.dilation - w.pad_lo + 1;
  Halo h{std::clamp<int64_t>(lo, 0, input), std::clamp<int64_t>(hi, 0, input), 0, 0};
  h.pad_lo = h.begin - lo;
  h.pad_hi = hi - h.end;
  return h;
}

Case piece_of(const Case& c, const AxisRule& rule, int64_t begin, int64_t end) {
  Case p{c.op, c.attrs, {}};
  const bool window = rule.window.taps > 0;
  for (size_t i = 0; i < c.operands.size(); ++i) {
    const HostTensor& t = c.operands[i];
    const int dim = rule.operand_dim[static_cast<int>(i)];
    if (dim >= 0 && window) {
      Halo h = halo_of(rule.window, begin, end, t.type.dims[dim].size);
      p.operands.push_back(slice(t, dim, h.begin, h.end));
      HOIST_CHECK(rule.window.set_padding, "a window without set_padding");
      rule.window.set_padding(p.attrs, h.pad_lo, h.pad_hi);
    } else {
      p.operands.push_back(part(t, dim, rule, begin, end));
    }
  }
  if (rule.set_base) rule.set_base(p.attrs, begin);
  if (rule.set_extent) rule.set_extent(p.attrs, end - begin);
  return p;
}

std::vector<Type> types_of(const Tensors& tensors) {
  std::vector<Type> types;
  for (const HostTensor& t : tensors) types.push_back(t.type);
  return types;
}

Tensors combine(const Monoid& monoid, const Tensors& a, const Tensors& other,
                const kernels::KernelTable& table) {
  Tensors both = a;
  both.insert(both.end(), other.begin(), other.end());
  const size_t n = a.size();
  return run_graph(graph_of(types_of(both),
                            [&](Builder& b, const Ids& x) {
                              return monoid.combine(b, Ids(x.begin(), x.begin() + n),
                                                    Ids(x.begin() + n, x.end()));
                            }),
                   both, table);
}

Tensors fold(const Monoid& monoid, const std::vector<Tensors>& partials, const kernels::KernelTable& table) {
  Tensors merged = partials[0];
  for (size_t i = 1; i < partials.size(); ++i) merged = combine(monoid, merged, partials[i], table);
  return merged;
}

// Every piece's operands give a partial tuple; the tuples are merged; every piece is finished with the merged
// tuple.
std::vector<Tensors> run_phased(const std::vector<Case>& pieces, const AxisRule& rule,
                                const kernels::KernelTable& table) {
  std::vector<Tensors> partials, results;
  const auto arity = static_cast<size_t>(rule.phased->monoid->arity);
  for (const Case& p : pieces) {
    const std::vector<Type> operands = p.operand_types(), types = p.result_types();
    const OpView view{p.op, &p.attrs, operands, types};
    partials.push_back(run_graph(
        graph_of(operands, [&](Builder& b, const Ids& x) { return rule.phased->partial(b, view, x); }),
        p.operands, table));
    HOIST_CHECK(partials.back().size() == arity, "partial tuple of the wrong arity");
  }
  const Tensors merged = fold(*rule.phased->monoid, partials, table);
  for (const Case& p : pieces) {
    const std::vector<Type> operands = p.operand_types(), types = p.result_types();
    const OpView view{p.op, &p.attrs, operands, types};
    Tensors inputs = p.operands;
    inputs.insert(inputs.end(), merged.begin(), merged.end());
    const size_t n = p.operands.size();
    results.push_back(run_graph(graph_of(types_of(inputs),
                                         [&](Builder& b, const Ids& x) {
                                           return rule.phased->finish(b, view, Ids(x.begin(), x.begin() + n),
                                                                      Ids(x.begin() + n, x.end()),
                                                                      rule.extent);
                                         }),
                                inputs, table));
  }
  return results;
}

std::vector<Tensors> run_in_order(std::vector<Case> pieces, const AxisRule& rule,
                                  const kernels::KernelTable& table) {
  std::vector<Tensors> results;
  for (Case& p : pieces) {
    if (!results.empty() && rule.carry_operand >= 0)
      p.operands[static_cast<size_t>(rule.carry_operand)] =
          results.back()[static_cast<size_t>(rule.carry_result)];
    results.push_back(run_case(p, table));
  }
  return results;
}

}  // namespace

std::vector<int64_t> uneven_cuts(const AxisRule& rule, int pieces) {
  const int64_t units = (rule.extent + rule.grain - 1) / rule.grain;
  if (units < pieces) return {};
  std::vector<int64_t> cuts{0};
  // 2: a third and the rest; 3: one unit, then halves of what is left.
  const int64_t first = pieces == 2 ? std::max<int64_t>(1, units / 3) : 1;
  cuts.push_back(first * rule.grain);
  if (pieces == 3) cuts.push_back((first + std::max<int64_t>(1, (units - first) / 2)) * rule.grain);
  cuts.push_back(rule.extent);
  return cuts;
}

bool exact_in_pieces(const AxisRule& rule, int result) {
  return !rule.phased && rule.result[result].kind == AxisKind::kMap;
}

Tensors run_pieces(const Case& c, const AxisRule& rule, const std::vector<int64_t>& cuts,
                   const kernels::KernelTable& table, std::string* problem) {
  std::vector<Case> cases;
  for (size_t k = 0; k + 1 < cuts.size(); ++k) cases.push_back(piece_of(c, rule, cuts[k], cuts[k + 1]));
  const std::vector<Tensors> pieces =
      rule.phased ? run_phased(cases, rule, table) : run_in_order(cases, rule, table);
  Tensors whole(pieces[0].size());
  for (int i = 0; i < static_cast<int>(whole.size()); ++i) {
    const auto at = static_cast<size_t>(i);
    const ir::ResultRule& how = rule.result[i];
    if (how.kind == AxisKind::kMerge && !rule.phased) {
      if (how.tuple != i) continue;  // done with the first of its tuple
      const auto arity = static_cast<size_t>(how.monoid->arity);
      std::vector<Tensors> partials;
      for (const Tensors& p : pieces) partials.emplace_back(p.begin() + i, p.begin() + i + how.monoid->arity);
      Tensors merged = fold(*how.monoid, partials, table);
      for (size_t j = 0; j < arity; ++j) whole[at + j] = merged[j];
    } else if (i == rule.carry_result) {
      whole[at] = pieces.back()[at];
    } else if (rule.result_dim[i] >= 0) {
      Tensors parts;
      for (const Tensors& p : pieces) parts.push_back(p[at]);
      whole[at] = concatenate(parts, rule.result_dim[i]);
    } else {
      whole[at] = pieces[0][at];
      for (const Tensors& p : pieces)
        if (std::string d = difference(p[at], whole[at]); !d.empty())
          *problem = "result " + std::to_string(i) + " differs between pieces: " + d;
    }
  }
  return whole;
}

}  // namespace hoist::testing
