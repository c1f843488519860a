#include "ops/tensors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/rng.h"

namespace hoist::testing {

using ir::Fill;
using ir::Type;

double get(const HostTensor& t, int64_t i) {
  switch (t.type.dtype) {
    case DType::f32: return t.as<float>()[i];
    case DType::f64: return t.as<double>()[i];
    case DType::bf16: return to_float(t.as<bf16>()[i]);
    case DType::f16: return to_float(t.as<f16>()[i]);
    case DType::i32: return t.as<int32_t>()[i];
    case DType::i64: return static_cast<double>(t.as<int64_t>()[i]);
    case DType::u8: return t.as<uint8_t>()[i];
    case DType::i8: return t.as<int8_t>()[i];
  }
  return 0;
}

void set(HostTensor& t, int64_t i, double value) {
  switch (t.type.dtype) {
    case DType::f32: t.as<float>()[i] = static_cast<float>(value); break;
    case DType::f64: t.as<double>()[i] = value; break;
    case DType::bf16: t.as<bf16>()[i] = to_bf16(static_cast<float>(value)); break;
    case DType::f16: t.as<f16>()[i] = to_f16(static_cast<float>(value)); break;
    case DType::i32: t.as<int32_t>()[i] = static_cast<int32_t>(std::lround(value)); break;
    case DType::i64: t.as<int64_t>()[i] = std::llround(value); break;
    case DType::u8: t.as<uint8_t>()[i] = static_cast<uint8_t>(std::llround(value)); break;
    case DType::i8: t.as<int8_t>()[i] = static_cast<int8_t>(std::llround(value)); break;
  }
}

namespace {

// Non-negative integers that sum to `total`, uneven, some of them zero.
void draw_counts(HostTensor& t, int64_t row, int64_t inner, int64_t total, const CounterRng& rng) {
  for (int64_t i = 0; i < total; ++i) {
    int64_t at = row * inner + static_cast<int64_t>(rng.below(static_cast<uint64_t>(row * total + i),
                                                              static_cast<uint64_t>(inner)));
    set(t, at, get(t, at) + 1);
  }
}

}  // namespace

HostTensor draw(const ir::ExampleOperand& operand, uint64_t seed) {
  HostTensor t(operand.type);
  CounterRng rng(seed, 1);
  const int64_t n = t.type.elements();
  const int64_t inner = t.type.rank() ? t.type.dims.back().size : 1;
  const auto limit = static_cast<uint64_t>(std::max<int64_t>(operand.limit, 1));
  if (operand.fill == Fill::kPermutation) {
    std::vector<int64_t> order(static_cast<size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i, i)]);
    for (int64_t i = 0; i < n; ++i) set(t, i, static_cast<double>(order[static_cast<size_t>(i)]));
    return t;
  }
  if (operand.fill == Fill::kCounts) {
    for (int64_t row = 0; inner && row < n / inner; ++row) draw_counts(t, row, inner, operand.limit, rng);
    return t;
  }
  for (int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<uint64_t>(i);
    switch (operand.fill) {
      case Fill::kNormal: set(t, i, rng.normal(at)); break;
      case Fill::kPositive: set(t, i, 0.5 + rng.uniform(at)); break;
      case Fill::kIndex: set(t, i, static_cast<double>(rng.below(at, limit))); break;
      case Fill::kRamp: set(t, i, static_cast<double>(i % inner)); break;
      case Fill::kOne: set(t, i, 1); break;
      default: break;
    }
  }
  return t;
}

HostTensor convert(const HostTensor& t, DType dtype) {
  HostTensor out(t.type.with_dtype(dtype));
  for (int64_t i = 0; i < t.type.elements(); ++i) set(out, i, get(t, i));
  return out;
}

namespace {
int64_t product(const Type& type, int from, int to) {
  int64_t n = 1;
  for (int i = from; i < to; ++i) n *= type.dims[i].size;
  return n;
}
}  // namespace

HostTensor slice(const HostTensor& t, int dim, int64_t begin, int64_t end) {
  Type type = t.type;
  HOIST_CHECK(0 <= begin && begin <= end && end <= type.dims[dim].size, "slice out of range");
  type.dims[dim].size = end - begin;
  type.dims[dim].live = false;
  HostTensor out(type);
  const int64_t inner = product(type, dim + 1, type.rank()) * dtype_size(type.dtype);
  const int64_t from = t.type.dims[dim].size * inner, to = (end - begin) * inner;
  for (int64_t o = 0; o < product(type, 0, dim) && to; ++o)
    std::memcpy(out.data.data() + o * to, t.data.data() + o * from + begin * inner, static_cast<size_t>(to));
  return out;
}

HostTensor concatenate(const std::vector<HostTensor>& pieces, int dim) {
  Type type = pieces[0].type;
  type.dims[dim].size = 0;
  for (const HostTensor& p : pieces) type.dims[dim].size += p.type.dims[dim].size;
  HostTensor out(type);
  const int64_t inner = product(type, dim + 1, type.rank()) * dtype_size(type.dtype);
  const int64_t row = type.dims[dim].size * inner;
  int64_t at = 0;
  for (const HostTensor& p : pieces) {
    const int64_t part = p.type.dims[dim].size * inner;
    for (int64_t o = 0; o < product(type, 0, dim) && part; ++o)
      std::memcpy(out.data.data() + o * row + at, p.data.data() + o * part, static_cast<size_t>(part));
    at += part;
  }
  return out;
}

Tolerance Tolerance::of(DType dtype) {
  switch (dtype) {
    case DType::f64: return {1e-12};
    case DType::f32: return {1e-5};
    case DType::f16: return {1.0 / 512};
    case DType::bf16: return {1.0 / 64};
    default: return {0};
  }
}

std::string difference(const HostTensor& got, const HostTensor& want, const Tolerance* tolerance) {
  Type a = got.type, b = want.type;
  for (ir::Dim& d : a.dims) d.live = false;
  for (ir::Dim& d : b.dims) d.live = false;
  if (!(a == b)) return "found type " + to_string(got.type) + ", expected " + to_string(want.type);
  const double relative = (tolerance ? *tolerance : Tolerance::of(want.type.dtype)).relative;
  const int64_t n = want.type.elements();
  double largest = 0;
  for (int64_t i = 0; i < n; ++i)
    if (double v = std::abs(get(want, i)); std::isfinite(v)) largest = std::max(largest, v);
  for (int64_t i = 0; i < n; ++i) {
    const double x = get(got, i), y = get(want, i);
    if (x == y || (std::isnan(x) && std::isnan(y))) continue;
    if (std::isfinite(x) && std::isfinite(y) && std::abs(x - y) <= relative * (std::abs(y) + 0.1 * largest))
      continue;
    char text[160];
    std::snprintf(text, sizeof text, "element %lld of %s: found %.9g, expected %.9g (largest %.3g)",
                  static_cast<long long>(i), to_string(want.type).c_str(), x, y, largest);
    return text;
  }
  return "";
}

}  // namespace hoist::testing
