// Convolution below the ops: every algorithm, pass and instruction set against sums in double.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/rng.h"
#include "kernels/cpu/conv/conv.h"
#include "kernels/kernel.h"
#include "kernels/run_op.h"

namespace hoist::kernels {
namespace {

using cpu::ConvAlgorithm;
using cpu::ConvPass;
using cpu::ConvPlan;
using cpu::ConvShape;

std::vector<float> numbers(int64_t n, uint64_t stream) {
  std::vector<float> out(static_cast<size_t>(n));
  CounterRng rng(5, stream);
  for (int64_t i = 0; i < n; ++i)
    out[static_cast<size_t>(i)] = static_cast<float>(rng.normal(static_cast<uint64_t>(i)));
  return out;
}

ConvShape shape(int64_t batch, int64_t in, int64_t h, int64_t w, int64_t out, int64_t k, int64_t stride,
                int64_t pad, int64_t dilation = 1) {
  ConvShape s{batch, in, h, w, out, k, k, 0, 0, stride, stride, dilation, dilation, pad, pad};
  s.out_h = (h + 2 * pad - dilation * (k - 1) - 1) / stride + 1;
  s.out_w = (w + 2 * pad - dilation * (k - 1) - 1) / stride + 1;
  return s;
}

int64_t x_count(const ConvShape& s) { return s.batch * s.in * s.h * s.w; }
int64_t w_count(const ConvShape& s) { return s.out * s.in * s.kh * s.kw; }
int64_t y_count(const ConvShape& s) { return s.batch * s.out * s.out_h * s.out_w; }

// use(x index, w index, y index) for every product.
template <class Use>
void each_product(const ConvShape& s, Use use) {
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t o = 0; o < s.out; ++o)
      for (int64_t i = 0; i < s.in; ++i)
        for (int64_t r = 0; r < s.out_h; ++r)
          for (int64_t a = 0; a < s.kh; ++a) {
            const int64_t h = r * s.stride_h + a * s.dilation_h - s.pad_top;
            if (h < 0 || h >= s.h) continue;
            for (int64_t c = 0; c < s.out_w; ++c)
              for (int64_t b = 0; b < s.kw; ++b) {
                const int64_t w = c * s.stride_w + b * s.dilation_w - s.pad_left;
                if (w < 0 || w >= s.w) continue;
                use(static_cast<size_t>(((n * s.in + i) * s.h + h) * s.w + w),
                    static_cast<size_t>(((o * s.in + i) * s.kh + a) * s.kw + b),
                    static_cast<size_t>(((n * s.out + o) * s.out_h + r) * s.out_w + c));
              }
          }
}

// The largest error over the largest value.
double error_of(const float* got, const std::vector<double>& want) {
  double error = 0, largest = 1e-30;
  for (size_t i = 0; i < want.size(); ++i) {
    if (!std::isfinite(got[i])) return INFINITY;
    error = std::max(error, std::abs(got[i] - want[i]));
    largest = std::max(largest, std::abs(want[i]));
  }
  return error / largest;
}

struct Calls {
  Isa isa;
  int64_t (*lanes)();
  int64_t (*packed_bytes)(const ConvPlan&);
  int64_t (*workspace)(const ConvPlan&, int);
  void (*pack)(const ConvPlan&, const float*, std::byte*, ThreadPool&);
  void (*run)(const ConvPlan&, const float*, const std::byte*, float*, std::byte*, ThreadPool&);
  int64_t (*grad_workspace)(const ConvShape&, int);
  void (*grad)(const ConvShape&, const float*, const float*, float*, std::byte*, ThreadPool&);
};
#define HOIST_CALLS(isa, name)                                                            \
  Calls {                                                                                 \
    isa, cpu::name::conv_lanes, cpu::name::conv_packed_bytes, cpu::name::conv_workspace,  \
        cpu::name::conv_pack, cpu::name::conv_run, cpu::name::conv_weight_grad_workspace, \
        cpu::name::conv_weight_grad                                                       \
  }
std::vector<Calls> available() {
  std::vector<Calls> out = {HOIST_CALLS(Isa::kPortable, portable)};
  if (isa_available(Isa::kAvx2)) out.push_back(HOIST_CALLS(Isa::kAvx2, avx2));
  if (isa_available(Isa::kAvx512)) out.push_back(HOIST_CALLS(Isa::kAvx512, avx512));
  return out;
}

// Operands and workspaces end at a page nobody may touch.
Pages paged(const std::vector<float>& values) {
  Pages p(static_cast<int64_t>(values.size()) * 4, 4);
  if (!values.empty()) std::memcpy(p.data(), values.data(), values.size() * 4);
  return p;
}
std::vector<float> run(const Calls& c, const ConvPlan& plan, const std::vector<float>& x,
                       const std::vector<float>& w, int64_t results, int threads) {
  ThreadPoolOptions options;
  options.threads = threads;
  ThreadPool pool(options);
  Pages in = paged(x), weights = paged(w), out(results * 4, 4), packed(c.packed_bytes(plan), 64),
        work(c.workspace(plan, threads), 64);
  c.pack(plan, reinterpret_cast<const float*>(weights.data()), packed.data(), pool);
  c.run(plan, reinterpret_cast<const float*>(in.data()), packed.data(), reinterpret_cast<float*>(out.data()),
        work.data(), pool);
  const float* y = reinterpret_cast<const float*>(out.data());
  return {y, y + results};
}

std::vector<ConvShape> shapes() {
  std::vector<ConvShape> out = {
      shape(2, 3, 19, 23, 37, 7, 2, 3), shape(1, 16, 14, 14, 32, 3, 1, 1),  shape(3, 17, 7, 7, 65, 3, 1, 1),
      shape(2, 5, 9, 6, 33, 3, 2, 1),   shape(1, 40, 8, 8, 48, 1, 1, 0),    shape(2, 33, 9, 9, 20, 1, 2, 0),
      shape(1, 4, 12, 31, 9, 3, 1, 2),  shape(1, 3, 16, 15, 8, 3, 1, 2, 2), shape(1, 700, 5, 6, 10, 3, 1, 1),
      shape(1, 2, 33, 130, 3, 5, 3, 1), shape(1, 1, 1, 1, 1, 1, 1, 0),      shape(5, 20, 6, 6, 40, 3, 1, 0),
      shape(1, 8, 40, 250, 8, 3, 1, 1)};
  ConvShape uneven{2, 3, 10, 11, 6, 2, 4, 5, 9, 2, 1, 1, 1, 0, 1};
  out.push_back(uneven);
  return out;
}

TEST(Conv, EveryAlgorithmEqualsTheSums) {
  for (const ConvShape& s : shapes()) {
    const auto x = numbers(x_count(s), 1), w = numbers(w_count(s), 2), dy = numbers(y_count(s), 3);
    std::vector<double> y(dy.size()), dx(x.size()), dw(w.size());
    each_product(s, [&](size_t a, size_t b, size_t c) {
      y[c] += double{x[a]} * double{w[b]};
      dx[a] += double{dy[c]} * double{w[b]};
      dw[b] += double{dy[c]} * double{x[a]};
    });
    for (const Calls& c : available()) {
      SCOPED_TRACE(std::string(isa_name(c.isa)) + " " + std::to_string(s.in) + "x" + std::to_string(s.h) +
                   "x" + std::to_string(s.w) + " to " + std::to_string(s.out) + ", taps " +
                   std::to_string(s.kh));
      for (ConvPass pass : {ConvPass::kForward, ConvPass::kInputGrad})
        for (ConvAlgorithm a : {ConvAlgorithm::kExplicit, ConvAlgorithm::kImplicit, ConvAlgorithm::kWinograd2,
                                ConvAlgorithm::kWinograd4}) {
          if (!conv_supports(s, pass, a)) continue;
          const ConvPlan plan = plan_conv(s, pass, false, a);
          ASSERT_EQ(plan.algorithm, a);
          const bool forward = pass == ConvPass::kForward;
          const auto got = run(c, plan, forward ? x : dy, w, forward ? y_count(s) : x_count(s), 3);
          EXPECT_LE(error_of(got.data(), forward ? y : dx), a == ConvAlgorithm::kWinograd4 ? 4e-5 : 4e-6)
              << conv_algorithm_name(a) << (forward ? " forward" : " input gradient");
          EXPECT_EQ(got, run(c, plan, forward ? x : dy, w, forward ? y_count(s) : x_count(s), 1))
              << conv_algorithm_name(a) << ": threads change bits";
        }
      std::vector<float> grads[2];
      for (int threads : {1, 3}) {
        ThreadPoolOptions options;
        options.threads = threads;
        ThreadPool pool(options);
        Pages in = paged(x), d = paged(dy), out(w_count(s) * 4, 4), work(c.grad_workspace(s, threads), 64);
        float* to = reinterpret_cast<float*>(out.data());
        c.grad(s, reinterpret_cast<const float*>(in.data()), reinterpret_cast<const float*>(d.data()), to,
               work.data(), pool);
        EXPECT_LE(error_of(to, dw), 2e-6) << "weight gradient";
        grads[threads == 3].assign(to, to + w_count(s));
      }
      EXPECT_EQ(grads[0], grads[1]) << "threads change bits";
    }
  }
}

// An image's bits are the same alone and in a batch.
TEST(Conv, BatchNeighboursChangeNothing) {
  for (const ConvShape& s :
       {shape(5, 20, 9, 10, 40, 3, 1, 1), shape(33, 16, 7, 7, 33, 3, 1, 1), shape(4, 9, 8, 8, 5, 3, 2, 1)}) {
    const auto x = numbers(x_count(s), 1), w = numbers(w_count(s), 2);
    for (const Calls& c : available())
      for (ConvAlgorithm a :
           {ConvAlgorithm::kImplicit, ConvAlgorithm::kWinograd2, ConvAlgorithm::kWinograd4}) {
        if (!conv_supports(s, ConvPass::kForward, a)) continue;
        const auto all = run(c, plan_conv(s, ConvPass::kForward, false, a), x, w, y_count(s), 2);
        ConvShape one = s;
        one.batch = 1;
        for (int64_t n : {int64_t{0}, s.batch - 1}) {
          const std::vector<float> image(x.begin() + n * x_count(one), x.begin() + (n + 1) * x_count(one));
          const auto alone = run(c, plan_conv(one, ConvPass::kForward, false, a), image, w, y_count(one), 2);
          EXPECT_TRUE(std::equal(alone.begin(), alone.end(), all.begin() + n * y_count(one)))
              << isa_name(c.isa) << " " << conv_algorithm_name(a);
        }
      }
  }
}

// [batch, channels, pixels] <-> [batch, channels / lanes, pixels, lanes].
std::vector<float> blocked(const std::vector<float>& x, int64_t batch, int64_t channels, int64_t lanes,
                           bool back) {
  const int64_t up = (channels + lanes - 1) / lanes * lanes;
  const int64_t pixels = static_cast<int64_t>(x.size()) / batch / (back ? up : channels);
  std::vector<float> out(static_cast<size_t>(batch * (back ? channels : up) * pixels));
  for (int64_t n = 0; n < batch; ++n)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t p = 0; p < pixels; ++p) {
        const auto plane = static_cast<size_t>((n * channels + c) * pixels + p);
        const auto block =
            static_cast<size_t>(((n * up + c / lanes * lanes) * pixels + p * lanes) + c % lanes);
        (back ? out[plane] : out[block]) = back ? x[block] : x[plane];
      }
  return out;
}

TEST(Conv, BlockedImagesGiveTheSame) {
  for (const ConvShape& s : shapes()) {
    const auto x = numbers(x_count(s), 1), w = numbers(w_count(s), 2), dy = numbers(y_count(s), 3);
    std::vector<double> y(dy.size()), dx(x.size());
    each_product(s, [&](size_t a, size_t b, size_t c) {
      y[c] += double{x[a]} * double{w[b]};
      dx[a] += double{dy[c]} * double{w[b]};
    });
    for (const Calls& c : available())
      for (bool forward : {true, false})
        for (ConvAlgorithm a :
             {ConvAlgorithm::kImplicit, ConvAlgorithm::kWinograd2, ConvAlgorithm::kWinograd4}) {
          const ConvPass pass = forward ? ConvPass::kForward : ConvPass::kInputGrad;
          if (!conv_supports(s, pass, a)) continue;
          ConvPlan plan = plan_conv(s, pass, false, a);
          plan.blocked = true;
          const int64_t lanes = c.lanes(), in = forward ? s.in : s.out, out = forward ? s.out : s.in;
          const auto images = blocked(forward ? x : dy, s.batch, in, lanes, false);
          const int64_t pixels = forward ? s.out_h * s.out_w : s.h * s.w;
          const int64_t count = s.batch * ((out + lanes - 1) / lanes * lanes) * pixels;
          const auto one = run(c, plan, images, w, count, 1), three = run(c, plan, images, w, count, 3);
          EXPECT_EQ(one, three);
          const auto got = blocked(one, s.batch, out, lanes, true);
          EXPECT_LE(error_of(got.data(), forward ? y : dx), a == ConvAlgorithm::kWinograd4 ? 4e-5 : 4e-6)
              << isa_name(c.isa) << " " << conv_algorithm_name(a) << " " << s.in << "x" << s.h << " to "
              << s.out;
        }
  }
}

// Winograd's error with the depth of ResNet's last layers.
TEST(Conv, WinogradKeepsFourDigits) {
  const ConvShape s = shape(1, 512, 7, 7, 32, 3, 1, 1);
  const auto x = numbers(x_count(s), 1), w = numbers(w_count(s), 2);
  std::vector<double> y(static_cast<size_t>(y_count(s)));
  each_product(s, [&](size_t a, size_t b, size_t c) { y[c] += double{x[a]} * double{w[b]}; });
  for (const Calls& c : available())
    for (ConvAlgorithm a : {ConvAlgorithm::kWinograd2, ConvAlgorithm::kWinograd4}) {
      const auto got = run(c, plan_conv(s, ConvPass::kForward, false, a), x, w, y_count(s), 2);
      EXPECT_LE(error_of(got.data(), y), 4e-5) << isa_name(c.isa) << " " << conv_algorithm_name(a);
    }
}

}  // namespace
}  // namespace hoist::kernels
