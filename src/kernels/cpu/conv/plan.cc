// Which algorithm a convolution gets: the one asked for, or the chooser's (ops/conv2d.h).
#include "kernels/cpu/conv/conv.h"
#include "ops/conv2d.h"

namespace hoist::kernels::cpu {

namespace {
constexpr ConvAlgorithm kAll[] = {ConvAlgorithm::kExplicit, ConvAlgorithm::kImplicit,
                                  ConvAlgorithm::kWinograd2, ConvAlgorithm::kWinograd4};
}

const char* conv_algorithm_name(ConvAlgorithm algorithm) {
  switch (algorithm) {
    case ConvAlgorithm::kExplicit: return "explicit";
    case ConvAlgorithm::kImplicit: return "implicit";
    case ConvAlgorithm::kWinograd2: return "winograd2";
    case ConvAlgorithm::kWinograd4: return "winograd4";
    case ConvAlgorithm::kAuto: break;
  }
  return "auto";
}

ConvAlgorithm find_conv_algorithm(std::string_view name) {
  for (ConvAlgorithm a : kAll)
    if (name == conv_algorithm_name(a)) return a;
  return ConvAlgorithm::kAuto;
}

bool conv_supports(const ConvShape& s, ConvPass pass, ConvAlgorithm algorithm) {
  switch (algorithm) {
    case ConvAlgorithm::kImplicit: return true;
    case ConvAlgorithm::kExplicit: return pass == ConvPass::kForward;
    case ConvAlgorithm::kWinograd2:
    case ConvAlgorithm::kWinograd4:
      return s.kh == 3 && s.kw == 3 && s.stride_h == 1 && s.stride_w == 1 && s.dilation_h == 1 &&
             s.dilation_w == 1 && s.pad_top <= 2 && s.pad_left <= 2;
    case ConvAlgorithm::kAuto: break;
  }
  return false;
}

ConvPlan plan_conv(const ConvShape& s, ConvPass pass, bool packed, ConvAlgorithm asked) {
  if (asked == ConvAlgorithm::kAuto) {
    ops::Conv2dAttrs a;
    a.stride_h = s.stride_h, a.stride_w = s.stride_w, a.dilation_h = s.dilation_h;
    a.dilation_w = s.dilation_w, a.pad_top = s.pad_top, a.pad_left = s.pad_left;
    const bool forward = pass == ConvPass::kForward;
    const ops::Conv2dSizes sizes{s.batch, forward ? s.in : s.out,  forward ? s.out : s.in, s.kh,
                                 s.kw,    forward ? s.out_h : s.h, forward ? s.out_w : s.w};
    asked = find_conv_algorithm(ops::choose_conv2d(sizes, a, packed).name());
  }
  return {s, pass, conv_supports(s, pass, asked) ? asked : ConvAlgorithm::kImplicit};
}

}  // namespace hoist::kernels::cpu
