#include "ir/type.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/error.h"
#include "base/fields.h"

namespace hoist::ir {

namespace {
std::vector<Format> make_formats() {
  struct Block {
    const char* name;
    int64_t block, bytes;
  };
  constexpr Block kBlocks[] = {
      {"q8_0", 32, 34}, {"q4_0", 32, 18},   {"q4_1", 32, 20},   {"q5_0", 32, 22},
      {"q5_1", 32, 24}, {"q4_k", 256, 144}, {"q5_k", 256, 176}, {"q6_k", 256, 210},
  };
  std::vector<Format> all;
  for (const Block& b : kBlocks) all.push_back({b.name, b.block, b.bytes, 0, b.name});
  for (int panel = 1; panel <= 4; ++panel) all.push_back({"i8_p" + std::to_string(panel), 4, 4, panel, "i8"});
  for (int panel = 1; panel <= 4; ++panel) {
    const std::string suffix = "p" + std::to_string(panel);
    all.push_back({suffix, 1, 0, panel, ""});
    for (const Block& b : kBlocks)
      all.push_back({std::string(b.name) + "_" + suffix, b.block, b.bytes, panel, b.name});
  }
  return all;
}
}  // namespace

const Format* find_format(Symbol name) {
  static const std::vector<Format> formats = make_formats();
  for (const Format& f : formats)
    if (name.name() == f.name) return &f;
  return nullptr;
}

int Type::find(Axis axis) const {
  for (int i = 0; i < dims.size(); ++i)
    if (dims[i].axis == axis) return i;
  return -1;
}

int64_t Type::size_of(Axis axis) const {
  int i = find(axis);
  HOIST_CHECK(i >= 0, "no axis " + axis.str() + " in " + to_string(*this));
  return dims[i].size;
}

int64_t Type::elements() const {
  int64_t n = 1;
  for (const Dim& d : dims) n *= d.size;
  return n;
}

int64_t Type::bytes() const {
  if (format.empty()) return elements() * dtype_size(dtype);
  const Format* f = find_format(format);
  if (f->panel == 0) return elements() / f->block * f->bytes;
  int64_t rows = 1, k = 1;
  for (int i = 0; i < rank(); ++i) (i < rank() - f->panel ? rows : k) *= dims[i].size;
  const int64_t panels = (rows + kPanelRows - 1) / kPanelRows;
  if (f->base == "i8") return panels * (64 + kPanelRows * k);
  if (!f->base.empty()) return panels * ((kPanelRows * (k / f->block) * f->bytes + 63) / 64 * 64);
  return panels * kPanelRows * (dtype == DType::f32 ? k * 4 : (k + 1) / 2 * 4);
}

Type Type::without(Axis axis) const {
  Type t = *this;
  int i = find(axis);
  HOIST_CHECK(i >= 0, "no axis " + axis.str() + " in " + to_string(*this));
  t.dims.erase(i);
  return t;
}

bool within_limits(const Type& type) {
  int64_t n = 1;
  for (const Dim& d : type.dims) {
    if (d.size < 0) return false;
    if (d.size > 1 && n > kMaxElements / d.size) return false;
    n *= std::max<int64_t>(d.size, 1);
  }
  return n <= kMaxElements;
}

std::string format_problem(const Type& type) {
  const Format* f = find_format(type.format);
  if (!f) return "unknown block format";
  if (type.rank() < std::max(f->panel, 1)) return "fewer axes than the format's rows have";
  int64_t k = type.dims.back().size;
  for (int i = type.rank() - f->panel; i < type.rank() - 1; ++i) k *= type.dims[i].size;
  if (k % f->block) return "a row is not a whole number of blocks";
  for (const Dim& d : type.dims)
    if (f->panel && d.live) return "a panel format has no live axes";
  if (f->panel && f->base.empty() && type.dtype != DType::f32 && type.dtype != DType::bf16)
    return "dense panels hold f32 or bf16";
  return "";
}

std::string to_string(const Type& type) {
  std::string out(dtype_name(type.dtype));
  if (!type.format.empty()) out += ":" + type.format.str();
  out += '[';
  for (int i = 0; i < type.rank(); ++i) {
    if (i) out += ", ";
    out += type.dims[i].axis.name();
    out += '=';
    out += std::to_string(type.dims[i].size);
    if (type.dims[i].live) out += '?';
  }
  return out + ']';
}

Type parse_type(std::string_view text) {
  auto bad = [&](const std::string& why) {
    throw_invalid("type '" + std::string(text.substr(0, 80)) + "': " + why);
  };
  Type type;
  size_t open = text.find('[');
  if (open == std::string_view::npos || text.back() != ']') bad("expected dtype[axis=size, ...]");
  std::string_view head = text.substr(0, open);
  size_t colon = head.find(':');
  if (colon != std::string_view::npos) {
    type.format = Symbol(head.substr(colon + 1));
    if (!find_format(type.format)) bad("unknown block format");
    head = head.substr(0, colon);
  }
  auto dtype = dtype_from_name(head);
  if (!dtype) bad("unknown element type");
  type.dtype = *dtype;
  std::string_view rest = text.substr(open + 1, text.size() - open - 2);
  while (!rest.empty()) {
    size_t comma = rest.find(',');
    std::string_view item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    size_t equals = item.find('=');
    if (equals == std::string_view::npos || equals == 0) bad("expected axis=size");
    Dim dim;
    std::string_view name = item.substr(0, equals), size = item.substr(equals + 1);
    if (!is_identifier(name) || name == "none") bad("bad axis name");
    dim.axis = Symbol(name);
    if (!size.empty() && size.back() == '?') {
      dim.live = true;
      size.remove_suffix(1);
    }
    auto r = std::from_chars(size.data(), size.data() + size.size(), dim.size);
    if (r.ec != std::errc() || r.ptr != size.data() + size.size() || dim.size < 0) bad("bad size");
    if (type.has(dim.axis)) bad("axis " + dim.axis.str() + " appears twice");
    if (type.rank() == Dims::capacity()) bad("more than 8 axes");
    type.dims.push_back(dim);
  }
  if (!within_limits(type)) bad("too large");
  if (!type.format.empty()) {
    const std::string why = format_problem(type);
    if (!why.empty()) bad(why);
  }
  return type;
}

}  // namespace hoist::ir
