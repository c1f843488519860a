#include "runtime/executor.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "ops/collectives.h"

namespace hoist::runtime {

using kernels::TensorView;

Executor::Executor(const plan::Plan& plan, const ExecutorContext& context) : plan_(plan), context_(context) {
  context_.states.declare(plan);
  for (const plan::StateSlot& s : plan.states) state_data_.push_back(context_.states.data(s.name));
  input_data_.assign(plan.inputs.size(), nullptr);
  if (plan.staging) {
    HOIST_CHECK(context_.states.disk() != nullptr,
                "plan " + plan.name + " moves storage, but there is no disk tier");
    if (plan.staging->scratch_bytes > 0)
      scratch_home_ = context_.states.disk()->reserve(plan.staging->scratch_bytes);
  }
  arena_ = context.shared_arena;
  if (!arena_) arena_ = std::make_shared<device::Buffer>(context_.device.allocate(plan.arena_bytes));
  HOIST_CHECK(arena_->bytes() >= plan.arena_bytes, "shared arena is too small for plan " + plan.name);
  for (const plan::Instruction& ins : plan.instructions) {
    Call call{&ins, static_cast<int>(slots_.size()), static_cast<int>(ins.operands.size()),
              static_cast<int>(ins.results.size())};
    for (const plan::Tensor& t : ins.operands) slots_.push_back(make_slot(t));
    for (const plan::Tensor& t : ins.results) slots_.push_back(make_slot(t));
    for (size_t i = static_cast<size_t>(call.first_slot); i < slots_.size(); ++i)
      call.moves |= slots_[i].moves;
    calls_.push_back(call);
  }
  for (const plan::OutputSlot& o : plan.outputs) output_slots_.push_back(make_slot(o.tensor));
  for (const plan::InputSlot& i : plan.inputs) make_slot({{}, i.type});  // registers their live axes
  views_.resize(slots_.size());
  if (!context_.device.computes()) return;
  int64_t sent = 0, received = 0;
  for (const plan::Instruction& ins : plan.instructions) {
    if (!ins.op || !ins.op->collective || ins.op == &ops::kAllReduce) continue;
    if (ins.op != &ops::kAllGather) sent = std::max(sent, ins.operands[0].type.bytes());
    if (ins.op != &ops::kReduceScatter) received = std::max(received, ins.results[0].type.bytes());
  }
  sent_.resize(static_cast<size_t>(sent));
  received_.resize(static_cast<size_t>(received));
}

Executor::Slot Executor::make_slot(const plan::Tensor& tensor) {
  Slot slot;
  slot.ref = tensor.ref;
  slot.moves = tensor.ref.step != 0 || tensor.ref.index_step != 0;
  slot.view.dtype = tensor.type.dtype;
  for (const ir::Dim& d : tensor.type.dims) slot.view.dims.push_back(d.size);
  if (tensor.type.rank() > 0 && tensor.type.dims[0].live) {
    const ir::Dim& d = tensor.type.dims[0];
    for (size_t i = 0; i < lengths_.size(); ++i)
      if (lengths_[i].first == d.axis) slot.live = static_cast<int>(i);
    if (slot.live < 0) {
      slot.live = static_cast<int>(lengths_.size());
      lengths_.push_back({d.axis, d.size});
      capacities_.push_back(d.size);
    }
    HOIST_CHECK(capacities_[static_cast<size_t>(slot.live)] == d.size,
                "live axis " + d.axis.str() + " has two capacities");
  }
  return slot;
}

void Executor::bind_input(std::string_view name, const void* data) {
  for (size_t i = 0; i < plan_.inputs.size(); ++i)
    if (plan_.inputs[i].name == name) {
      input_data_[i] = static_cast<const std::byte*>(data);
      stale_ = true;
      return;
    }
  HOIST_CHECK(false, "plan " + plan_.name + " has no input '" + std::string(name) + "'");
}

void Executor::set_length(ir::Axis axis, int64_t length) {
  for (size_t i = 0; i < lengths_.size(); ++i)
    if (lengths_[i].first == axis) {
      HOIST_CHECK(length >= 0 && length <= capacities_[i],
                  "length of live axis " + axis.str() + " is out of range");
      stale_ |= lengths_[i].second != length;
      lengths_[i].second = length;
      return;
    }
  HOIST_CHECK(false, "plan " + plan_.name + " has no live axis " + axis.str());
}

std::byte* Executor::address(const plan::Ref& ref, int iteration) const {
  size_t index = static_cast<size_t>(ref.index + iteration * ref.index_step);
  switch (ref.space) {
    case plan::Space::kArena: return arena_->data() + ref.offset + iteration * ref.step;
    case plan::Space::kState: return state_data_[index] + ref.offset;
    case plan::Space::kInput: return const_cast<std::byte*>(input_data_[index]) + ref.offset;
  }
  return nullptr;
}

void Executor::run() {
  for (size_t i = 0; i < input_data_.size(); ++i)
    HOIST_CHECK(input_data_[i] != nullptr,
                "input '" + plan_.inputs[i].name + "' of plan " + plan_.name + " is not bound");
  if (stale_) refresh();
  if (plan_.staging) return run_staged();

  size_t next = 0;
  const int n = static_cast<int>(calls_.size());
  for (int at = 0; at < n;) {
    if (next < plan_.repeats.size() && plan_.repeats[next].first == at) {
      const plan::Repeat& r = plan_.repeats[next++];
      for (int i = 0; i < r.count; ++i)
        for (int k = 0; k < r.length; ++k) launch(calls_[static_cast<size_t>(at + k)], i);
      at += r.length;
    } else {
      launch(calls_[static_cast<size_t>(at++)], 0);
    }
  }
  ++stats_.runs;
}

// Follows the plan's transfers: each starts at its moment, and an instruction waits for those it needs.
void Executor::run_staged() {
  const plan::Staging& staging = *plan_.staging;
  StateStore& states = context_.states;
  device::DiskTier& disk = *states.disk();
  const auto home = [&](const plan::Staging::Piece& p) {
    return p.home +
           (p.state < 0 ? scratch_home_ : states.home(plan_.states[static_cast<size_t>(p.state)].name));
  };
  if (states.carrier() != this) {
    states.release();
    for (const plan::Staging::Carried& c : staging.carried) {
      const plan::Staging::Piece& p = staging.pieces[static_cast<size_t>(c.piece)];
      disk.start_load(home(p), arena_->data() + c.offset, p.bytes, {});
    }
    disk.wait_all();
  }
  // From here on homes are out of date; an error must not leave the store believing in memory half written.
  states.carry(nullptr, {});
  tickets_.assign(staging.transfers.size(), 0);
  std::vector<uint64_t> after;
  size_t next = 0;
  const auto issue = [&](int moment) {
    for (; next < staging.transfers.size() && staging.transfers[next].issue <= moment; ++next) {
      const plan::Staging::Transfer& t = staging.transfers[next];
      const plan::Staging::Piece& p = staging.pieces[static_cast<size_t>(t.piece)];
      after.clear();
      for (const int before : t.after) after.push_back(tickets_[static_cast<size_t>(before)]);
      std::byte* memory = arena_->data() + t.offset;
      tickets_[next] = t.store ? disk.start_store(home(p), memory, p.bytes, after)
                               : disk.start_load(home(p), memory, p.bytes, after);
    }
  };
  for (size_t i = 0; i < calls_.size(); ++i) {
    issue(static_cast<int>(i));
    for (const int t : staging.waits[i]) disk.wait(tickets_[static_cast<size_t>(t)]);
    launch(calls_[i], 0);
  }
  issue(static_cast<int>(calls_.size()));
  disk.wait_all();
  std::vector<StateStore::Carried> carried;
  for (const plan::Staging::Carried& c : staging.carried) {
    const plan::Staging::Piece& p = staging.pieces[static_cast<size_t>(c.piece)];
    carried.push_back({plan_.states[static_cast<size_t>(p.state)].name, p.home, p.bytes,
                       arena_->data() + c.offset, c.dirty});
  }
  states.carry(this, std::move(carried));
  ++stats_.runs;
}

void Executor::refresh() {
  for (Slot& s : output_slots_)
    if (s.live >= 0) s.view.dims[0] = lengths_[static_cast<size_t>(s.live)].second;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& s = slots_[i];
    if (s.live >= 0) s.view.dims[0] = lengths_[static_cast<size_t>(s.live)].second;
    views_[i] = s.view;
    views_[i].data = address(s.ref, 0);
  }
  for (Call& c : calls_) {
    c.bytes_read = c.bytes_written = 0;
    for (int i = 0; i < c.operands + c.results; ++i) {
      const TensorView& v = views_[static_cast<size_t>(c.first_slot + i)];
      (i < c.operands ? c.bytes_read : c.bytes_written) += v.elements() * dtype_size(v.dtype);
    }
    c.empty = c.bytes_written == 0;
  }
  stale_ = false;
}

void Executor::launch(Call& call, int iteration) {
  const plan::Instruction& ins = *call.instruction;
  stats_.bytes_read += call.bytes_read;
  stats_.bytes_written += call.bytes_written;
  ++stats_.launches;
  if (call.empty) return;
  TensorView* views = views_.data() + call.first_slot;
  if (call.moves)
    for (int i = 0; i < call.operands + call.results; ++i)
      if (const Slot& s = slots_[static_cast<size_t>(call.first_slot + i)]; s.moves)
        views[i].data = address(s.ref, iteration);
  int64_t start = context_.trace ? context_.trace->now() : 0;
  const TensorView* operands = views;
  const TensorView* results = operands + call.operands;
  if (ins.kernel) {
    std::byte* workspace = ins.workspace_bytes ? address(ins.workspace, iteration) : nullptr;
    ins.kernel->run({ins.attrs,
                     {operands, static_cast<size_t>(call.operands)},
                     {results, static_cast<size_t>(call.results)},
                     ins.prepared,
                     workspace,
                     context_.pool});
  } else if (context_.device.computes()) {
    if (ins.op)
      collective(ins, operands, results);
    else
      std::memcpy(results[0].data, operands[0].data,
                  static_cast<size_t>(operands[0].elements() * dtype_size(operands[0].dtype)));
  }
  if (context_.trace)
    context_.trace->add(ins.op ? ins.op->name : "copy", ins.kernel ? ins.kernel->variant : "",
                        ins.scope.name(), iteration, start);
}

namespace {

// Pieces of a collective lie along one axis; unless it is outermost they are strided, so they are moved
// through a buffer in which they are contiguous: [outer, pieces, inner] <-> [pieces, outer, inner].
struct Pieces {
  int64_t outer = 1, inner = 1;  // inner: bytes of one piece's row
};

void to_pieces(const std::byte* from, std::byte* to, const Pieces& p, int64_t count) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t c = 0; c < count; ++c)
      std::memcpy(to + (c * p.outer + o) * p.inner, from + (o * count + c) * p.inner,
                  static_cast<size_t>(p.inner));
}
void from_pieces(const std::byte* from, std::byte* to, const Pieces& p, int64_t count) {
  for (int64_t o = 0; o < p.outer; ++o)
    for (int64_t c = 0; c < count; ++c)
      std::memcpy(to + (o * count + c) * p.inner, from + (c * p.outer + o) * p.inner,
                  static_cast<size_t>(p.inner));
}

// Rows of `size` elements along `axis` of a tensor.
Pieces pieces_along(const ir::Type& type, ir::Axis axis, int64_t size) {
  Pieces p;
  int dim = type.find(axis);
  for (int i = 0; i < dim; ++i) p.outer *= type.dims[i].size;
  p.inner = size * dtype_size(type.dtype);
  for (int i = dim + 1; i < type.rank(); ++i) p.inner *= type.dims[i].size;
  return p;
}

comm::Reduction reduction(Symbol monoid) {
  return monoid.name() == "max" ? comm::Reduction::kMax : comm::Reduction::kSum;
}

}  // namespace

void Executor::collective(const plan::Instruction& ins, const TensorView* operands,
                          const TensorView* results) {
  auto group = [&](Symbol mesh) -> comm::Group& {
    auto it = context_.groups.find(mesh.str());
    HOIST_CHECK(it != context_.groups.end(), "no ranks for mesh dimension " + mesh.str());
    return *it->second;
  };
  const TensorView &x = operands[0], &y = results[0];
  const ir::Type &in = ins.operands[0].type, &out = ins.results[0].type;
  if (ins.op == &ops::kAllReduce) {
    const auto& a = ins.attrs.as<ops::AllReduceAttrs>();
    group(a.mesh).all_reduce(x.data, y.data, x.elements(), x.dtype, reduction(a.monoid));
  } else if (ins.op == &ops::kAllGather) {
    const auto& a = ins.attrs.as<ops::GatherAttrs>();
    Pieces p;
    p.inner = in.bytes();
    if (in.has(a.axis)) p = pieces_along(in, a.axis, in.size_of(a.axis));
    group(a.mesh).all_gather(x.data, p.outer == 1 ? y.data : received_.data(), in.bytes());
    if (p.outer > 1) from_pieces(received_.data(), y.data, p, a.ranks);
  } else if (ins.op == &ops::kReduceScatter) {
    const auto& a = ins.attrs.as<ops::ReduceScatterAttrs>();
    const Pieces p = pieces_along(out, a.axis, out.size_of(a.axis));
    if (p.outer > 1) to_pieces(x.data, sent_.data(), p, a.ranks);
    group(a.mesh).reduce_scatter(p.outer == 1 ? x.data : sent_.data(), y.data, out.elements(), out.dtype,
                                 reduction(a.monoid));
  } else if (ins.op == &ops::kAllToAll) {
    const auto& a = ins.attrs.as<ops::AllToAllAttrs>();
    to_pieces(x.data, sent_.data(), pieces_along(in, a.split_axis, in.size_of(a.split_axis) / a.ranks),
              a.ranks);
    group(a.mesh).all_to_all(sent_.data(), received_.data(), in.bytes() / a.ranks);
    from_pieces(received_.data(), y.data,
                pieces_along(out, a.concat_axis, out.size_of(a.concat_axis) / a.ranks), a.ranks);
  } else {
    HOIST_CHECK(false, "unknown collective " + std::string(ins.op->name));
  }
}

TensorView Executor::output(std::string_view name) const {
  for (size_t i = 0; i < plan_.outputs.size(); ++i)
    if (plan_.outputs[i].name == name) {
      TensorView v = output_slots_[i].view;
      v.data = address(output_slots_[i].ref, 0);
      return v;
    }
  HOIST_CHECK(false, "plan " + plan_.name + " has no output '" + std::string(name) + "'");
}

}  // namespace hoist::runtime
