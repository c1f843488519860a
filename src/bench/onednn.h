// oneDNN as a bench peer: the few functions of its C interface (version 3) that we call, found in a library
// the user names. Types and numbers are declared here as its documentation gives them, so that its headers
// are not needed to build.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bench/row.h"

namespace hoist::bench {

class OneDnn {
 public:
  // Opaque handles of the interface.
  using Handle = void*;
  using Tensor = std::shared_ptr<void>;  // frees its memory
  struct Argument {
    int index;
    Tensor tensor;
  };
  // Values of the interface's enumerations.
  static constexpr int kBf16 = 2, kF32 = 3;                                                  // data types
  static constexpr int kAny = 1, kAb = 3, kBa = 14, kNchw = 5, kNhwc = 22, kOihw = 5;        // format tags
  static constexpr int kSource = 1, kWeights = 33, kDestination = 17;                        // arguments
  static constexpr int kSourceLayout = 129, kWeightsLayout = 131, kDestinationLayout = 133;  // queries

  // Throws Error(kNotFound) naming the library or the function.
  OneDnn(const std::string& path, int threads);
  ~OneDnn();
  OneDnn(const OneDnn&) = delete;

  // A layout of a tensor; kept until this object goes.
  Handle layout(const std::vector<int64_t>& dims, int data_type, int tag);
  // The layout that a primitive wants of an argument (one of the queries above).
  Handle wanted(Handle primitive_desc, int query);
  // A tensor in its own memory, filled with random values (converted from f32 in the `plain` layout), or not.
  Tensor random(Handle layout, Handle plain_f32);
  Tensor empty(Handle layout);

  // Primitive descriptors, nullptr when the library has no implementation. Layouts may be kAny.
  Handle matmul(Handle source, Handle weights, Handle destination);
  // Forward inference; algorithm 1 is direct, 2 Winograd, 3 the library's choice. Lists are {height, width};
  // dilation 0 is a plain convolution.
  Handle convolution(int algorithm, Handle source, Handle weights, Handle destination,
                     const std::vector<int64_t>& strides, const std::vector<int64_t>& dilation,
                     const std::vector<int64_t>& pad_begin, const std::vector<int64_t>& pad_end);
  // Executes the primitive of a descriptor with these arguments, and waits. The Run must not outlive this
  // object.
  Run run(Handle primitive_desc, const std::vector<Argument>& arguments);

 private:
  struct Api;
  std::unique_ptr<Api> api_;
};

}  // namespace hoist::bench
