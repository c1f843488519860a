#include "plan/split_rows.h"

#include <algorithm>
#include <numeric>

#include "ir/rules.h"

namespace hoist::plan {

namespace {

constexpr int64_t kPage = 4096;

struct Cut {
  int64_t rows = 0;                      // of the axis
  int64_t grain = 1;                     // pieces start at multiples of this
  std::vector<uint8_t> operand, result;  // which of them have the axis
};

std::vector<ir::Type> types_of(const std::vector<Tensor>& tensors) {
  std::vector<ir::Type> out;
  for (const Tensor& t : tensors) out.push_back(t.type);
  return out;
}

int64_t total_bytes(const Instruction& ins) {
  int64_t bytes = 0;
  for (const Tensor& t : ins.operands) bytes += t.type.bytes();
  // Results in an operand's storage are counted there.
  for (const Tensor& r : ins.results)
    if (std::none_of(ins.operands.begin(), ins.operands.end(),
                     [&](const Tensor& t) { return t.ref == r.ref; }))
      bytes += r.type.bytes();
  return bytes;
}

// The axis to cut along; rows 0 if there is none.
Cut find_cut(const Instruction& ins) {
  if (!ins.op || !ins.kernel) return {};
  const std::vector<ir::Type> operands = types_of(ins.operands), results = types_of(ins.results);
  ir::OpView view;
  view.op = ins.op;
  view.attrs = &ins.attrs;
  view.operands = operands;
  view.results = results;
  const int64_t whole = total_bytes(ins);
  for (const ir::AxisRule& rule : ir::axis_rules(view)) {
    if (rule.extent < 2 || rule.indexed || rule.set_base || rule.set_extent || rule.phased ||
        rule.window.taps > 0)
      continue;
    Cut cut{rule.extent, rule.grain, {}, {}};
    int64_t beside = 0, page_rows = 1;
    bool fits = true;
    const auto look = [&](const std::vector<ir::Type>& types, const auto& dims, std::vector<uint8_t>& has) {
      for (size_t i = 0; i < types.size(); ++i) {
        const int dim = dims[static_cast<int>(i)];
        has.push_back(dim == 0);
        if (dim > 0 || (dim == 0 && (types[i].dims[0].size != rule.extent || types[i].dims[0].live)))
          fits = false;
        if (dim < 0) {
          beside += types[i].bytes();
        } else if (dim == 0) {
          const int64_t row = types[i].bytes() / rule.extent;
          if (row * rule.extent != types[i].bytes()) fits = false;
          if (row > 0) page_rows = std::lcm(page_rows, kPage / std::gcd(kPage, row));
        }
      }
    };
    look(operands, rule.operand_dim, cut.operand);
    look(results, rule.result_dim, cut.result);
    for (size_t i = 0; i < results.size(); ++i)
      fits = fits && cut.result[i] && rule.result[static_cast<int>(i)].kind == ir::AxisKind::kMap;
    if (!fits || beside * 8 > whole) continue;
    cut.grain = std::lcm(cut.grain, page_rows);
    return cut;
  }
  return {};
}

Instruction piece(const Instruction& ins, const Cut& cut, int64_t begin, int64_t end, int threads) {
  Instruction part = ins;
  const auto narrow = [&](Tensor& t, bool has) {
    if (!has) return;
    const int64_t row = t.type.bytes() / cut.rows;
    t.type.dims[0].size = end - begin;
    t.ref.offset += begin * row;
  };
  for (size_t i = 0; i < part.operands.size(); ++i) narrow(part.operands[i], cut.operand[i]);
  for (size_t i = 0; i < part.results.size(); ++i) narrow(part.results[i], cut.result[i]);
  const std::vector<ir::Type> operands = types_of(part.operands), results = types_of(part.results);
  ir::OpView view;
  view.op = part.op;
  view.attrs = &part.attrs;
  view.operands = operands;
  view.results = results;
  part.prepared = {};
  if (part.kernel->prepare) part.kernel->prepare(view, part.prepared);
  // The workspace of the whole serves a piece as well.
  if (part.kernel->workspace)
    part.workspace_bytes = std::min(part.workspace_bytes, part.kernel->workspace(view, threads));
  return part;
}

}  // namespace

void split_rows(Plan& plan, int64_t bytes, int threads) {
  std::vector<Instruction> out;
  for (Instruction& ins : plan.instructions) {
    const int64_t whole = total_bytes(ins);
    Cut cut;
    if (whole > bytes) cut = find_cut(ins);
    const int64_t wanted = cut.rows > 0 ? cut.rows * bytes / whole / cut.grain * cut.grain : 0;
    const int64_t rows = std::max(wanted, cut.grain);
    if (cut.rows == 0 || rows >= cut.rows) {
      out.push_back(std::move(ins));
      continue;
    }
    for (int64_t begin = 0; begin < cut.rows; begin += rows)
      out.push_back(piece(ins, cut, begin, std::min(cut.rows, begin + rows), threads));
  }
  plan.instructions = std::move(out);
}

}  // namespace hoist::plan
