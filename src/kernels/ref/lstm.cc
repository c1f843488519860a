// lstm and its gradient in double, step by step.
#include "ops/lstm.h"

#include <algorithm>

#include "kernels/ref/ref.h"

namespace hoist::kernels::ref {

namespace {

// Operands 0..2 are x, w, u in both ops.
struct Sizes {
  int64_t seq, batch, in, hidden;
  explicit Sizes(const KernelArgs& args)
      : seq(args.operands[0].dims[0]),
        batch(args.operands[0].dims[1]),
        in(args.operands[0].dims[2]),
        hidden(args.operands[1].dims[1]) {}
};

// h and c of the running step, in double: [2, batch, hidden].
int64_t forward_workspace(const ir::OpView& view, int) { return view.results[1].elements() * 16; }

void forward(const KernelArgs& args) noexcept {
  const Sizes s(args);
  const int64_t rows = s.batch * s.hidden;
  double *h = reinterpret_cast<double*>(args.workspace), *c = h + rows, *next = c + rows;
  dispatch_float(args.operands[0].dtype, [&](auto t) {
    using T = decltype(t);
    const T *x = args.in<T>(0), *w = args.in<T>(1), *u = args.in<T>(2), *bias = args.in<T>(3);
    for (int64_t i = 0; i < 2 * rows; ++i) h[i] = get(args.in<T>(4)[i]);
    for (int64_t step = 0; step < s.seq; ++step) {
      for (int64_t b = 0; b < s.batch; ++b)
        for (int64_t j = 0; j < s.hidden; ++j) {
          double a[4];
          for (int64_t g = 0; g < 4; ++g) {
            double z = get(bias[g * s.hidden + j]);
            for (int64_t k = 0; k < s.in; ++k)
              z += get(w[(g * s.hidden + j) * s.in + k]) * get(x[(step * s.batch + b) * s.in + k]);
            for (int64_t k = 0; k < s.hidden; ++k)
              z += get(u[(g * s.hidden + j) * s.hidden + k]) * h[b * s.hidden + k];
            a[g] = g == 2 ? std::tanh(z) : sigmoid(z);
            put(args.out<T>(3)[((step * s.batch + b) * 4 + g) * s.hidden + j], a[g]);
          }
          const int64_t at = b * s.hidden + j;
          c[at] = a[1] * c[at] + a[0] * a[2];
          next[at] = a[3] * std::tanh(c[at]);
          put(args.out<T>(0)[step * rows + at], next[at]);
          put(args.out<T>(2)[step * rows + at], c[at]);
        }
      std::copy_n(next, rows, h);
    }
    for (int64_t i = 0; i < 2 * rows; ++i) put(args.out<T>(1)[i], h[i]);
  });
}

// dw, du, dbias; dh, dc; dz of a step.
int64_t grad_workspace(const ir::OpView& view, int) {
  int64_t n = 0;
  for (int i : {1, 2, 3, 4}) n += view.results[static_cast<size_t>(i)].elements();
  return 8 * (n + 2 * view.results[4].elements());
}

// x, w, u, state, h, c, gates, dh, dstate (, dc, dgates) -> dx, dw, du, dbias, dstate
void grad(const KernelArgs& args) noexcept {
  const Sizes s(args);
  const auto& a = args.attrs.as<ops::LstmGradAttrs>();
  const int64_t rows = s.batch * s.hidden, w_count = 4 * s.hidden * s.in, u_count = 4 * s.hidden * s.hidden;
  double *dw = reinterpret_cast<double*>(args.workspace), *du = dw + w_count, *db = du + u_count,
         *dh = db + 4 * s.hidden, *dc = dh + rows, *dz = dc + rows;
  std::fill_n(dw, w_count + u_count + 4 * s.hidden, 0.0);
  dispatch_with_statistics(args.operands[0].dtype, [&](auto t, auto st) {
    using T = decltype(t);
    using S = decltype(st);
    const T *x = args.in<T>(0), *w = args.in<T>(1), *u = args.in<T>(2);
    for (int64_t i = 0; i < 2 * rows; ++i) dh[i] = get(args.in<T>(8)[i]);
    for (int64_t step = s.seq - 1; step >= 0; --step) {
      auto before = [&](int operand, int part, int64_t at) {
        return step ? get(args.in<T>(operand)[(step - 1) * rows + at]) : get(args.in<T>(3)[part * rows + at]);
      };
      for (int64_t b = 0; b < s.batch; ++b)
        for (int64_t j = 0; j < s.hidden; ++j) {
          const int64_t at = b * s.hidden + j, all = step * rows + at;
          auto gate = [&](int operand, int64_t g) {
            return get(args.in<T>(operand)[((step * s.batch + b) * 4 + g) * s.hidden + j]);
          };
          const double i = gate(6, 0), f = gate(6, 1), g = gate(6, 2), o = gate(6, 3);
          const double tanh_c = std::tanh(get(args.in<T>(5)[all])), d = dh[at] + get(args.in<T>(7)[all]);
          double dct = dc[at] + d * o * (1 - tanh_c * tanh_c);
          if (a.has_dc) dct += get(args.in<T>(9)[all]);
          double da[4] = {dct * g, dct * before(5, 1, at), dct * i, d * tanh_c};
          if (a.has_dgates)
            for (int64_t k = 0; k < 4; ++k) da[k] += gate(9 + a.has_dc, k);
          const double slopes[4] = {i * (1 - i), f * (1 - f), 1 - g * g, o * (1 - o)};
          for (int64_t k = 0; k < 4; ++k) {
            const double z = da[k] * slopes[k];
            dz[(b * 4 + k) * s.hidden + j] = z;
            db[k * s.hidden + j] += z;
          }
          dc[at] = dct * f;
        }
      std::fill_n(dh, rows, 0.0);
      for (int64_t b = 0; b < s.batch; ++b) {
        for (int64_t gj = 0; gj < 4 * s.hidden; ++gj) {
          const double z = dz[b * 4 * s.hidden + gj];
          for (int64_t k = 0; k < s.hidden; ++k) {
            dh[b * s.hidden + k] += z * get(u[gj * s.hidden + k]);
            du[gj * s.hidden + k] += z * before(4, 0, b * s.hidden + k);
          }
          for (int64_t k = 0; k < s.in; ++k) dw[gj * s.in + k] += z * get(x[(step * s.batch + b) * s.in + k]);
        }
        for (int64_t k = 0; k < s.in; ++k) {
          double sum = 0;
          for (int64_t gj = 0; gj < 4 * s.hidden; ++gj)
            sum += dz[b * 4 * s.hidden + gj] * get(w[gj * s.in + k]);
          put(args.out<T>(0)[(step * s.batch + b) * s.in + k], sum);
        }
      }
    }
    for (int64_t i = 0; i < w_count; ++i) put(args.out<S>(1)[i], dw[i]);
    for (int64_t i = 0; i < u_count; ++i) put(args.out<S>(2)[i], du[i]);
    for (int64_t i = 0; i < 4 * s.hidden; ++i) put(args.out<S>(3)[i], db[i]);
    for (int64_t i = 0; i < 2 * rows; ++i) put(args.out<T>(4)[i], dh[i]);
  });
}

}  // namespace

Kernels lstm_kernels() {
  static constexpr Kernel kKernels[] = {
      {"lstm", "ref", supports_dense, forward, nullptr, forward_workspace},
      {"lstm_grad", "ref", supports_dense, grad, nullptr, grad_workspace},
  };
  return kKernels;
}

}  // namespace hoist::kernels::ref
