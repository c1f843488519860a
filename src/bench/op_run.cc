#include "bench/op_run.h"

#include <sys/mman.h>

#include <cstring>
#include <memory>

#include "base/error.h"
#include "base/rng.h"
#include "device/device.h"

namespace hoist::bench {

namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

// A fast stream of bits: filling gigabytes must not take longer than measuring them.
class Mixer {
 public:
  explicit Mixer(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u) {}
  uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  float real() { return static_cast<float>(static_cast<int32_t>(next() >> 32)) * 0x1p-31f; }  // (-1, 1)

 private:
  uint64_t state_;
};

void fill(const Operand& o, std::byte* to, uint64_t seed) {
  const int64_t n = o.type.elements();
  Mixer mix(seed);
  if (!o.type.format.empty()) {
    // Below 0x3c in every byte: no 16-bit or 32-bit scale is infinite or NaN, wherever a format keeps them.
    for (int64_t i = 0; i < o.type.bytes(); ++i) to[i] = static_cast<std::byte>(mix.next() & 0x3b);
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const int64_t whole = o.count            ? i
                          : !o.given.empty() ? o.given[static_cast<size_t>(i)]
                                             : o.base + static_cast<int64_t>(mix.next() >> 1) % o.limit;
    switch (o.type.dtype) {
      case DType::f32: reinterpret_cast<float*>(to)[i] = mix.real(); break;
      case DType::f64: reinterpret_cast<double*>(to)[i] = static_cast<double>(mix.real()); break;
      case DType::bf16: reinterpret_cast<bf16*>(to)[i] = to_bf16(mix.real()); break;
      case DType::f16: reinterpret_cast<f16*>(to)[i] = to_f16(mix.real()); break;
      case DType::i32: reinterpret_cast<int32_t*>(to)[i] = static_cast<int32_t>(whole); break;
      case DType::i64: reinterpret_cast<int64_t*>(to)[i] = whole; break;
      case DType::u8: reinterpret_cast<uint8_t*>(to)[i] = static_cast<uint8_t>(whole); break;
      case DType::i8: reinterpret_cast<int8_t*>(to)[i] = static_cast<int8_t>(whole); break;
    }
  }
}

// What a Run of an op keeps alive. Memory comes from the product's own device, so that its pages are the
// product's pages.
struct Call {
  std::unique_ptr<device::Device> device = device::make_cpu_device();
  std::vector<device::Buffer> buffers;
  device::Buffer workspace;
  ir::Attrs attrs;
  std::vector<kernels::TensorView> operands, results;
  const kernels::Kernel* kernel = nullptr;
  kernels::Prepared prepared;
  ThreadPool* pool = nullptr;
};

kernels::TensorView view_of(const ir::Type& type, std::byte* data) {
  kernels::TensorView v{data, type.dtype, {}};
  for (const ir::Dim& d : type.dims) v.dims.push_back(d.size);
  return v;
}

}  // namespace

Run op_run(const Setting& setting, const ir::OpDef& op, const ir::Attrs& attrs,
           const std::vector<Operand>& operands) {
  auto call = std::make_shared<Call>();
  call->attrs = attrs;
  call->pool = &setting.pool;
  std::vector<ir::Type> types;
  for (const Operand& o : operands) types.push_back(o.type);
  std::vector<ir::Type> out;
  try {
    out = ir::infer_types(op, attrs, types);
  } catch (const Error&) {
    return {};
  }
  const ir::OpView view{&op, &call->attrs, types, out};
  call->kernel = kernels::cpu_table(setting.isa).find(view);
  if (!call->kernel || call->kernel->variant == "ref") return {};
  auto memory = [&](int64_t bytes) {
    call->buffers.push_back(call->device->allocate(std::max<int64_t>(bytes, 64)));
    return call->buffers.back().data();
  };
  for (size_t i = 0; i < operands.size(); ++i) {
    std::byte* data = memory(types[i].bytes());
    fill(operands[i], data, i + 1);
    call->operands.push_back(view_of(types[i], data));
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const int at = static_cast<int>(i) < op.in_place.size() ? op.in_place[static_cast<int>(i)] : -1;
    call->results.push_back(at >= 0 ? call->operands[static_cast<size_t>(at)]
                                    : view_of(out[i], memory(out[i].bytes())));
  }
  if (call->kernel->prepare) call->kernel->prepare(view, call->prepared);
  if (call->kernel->workspace)
    call->workspace =
        call->device->allocate(std::max<int64_t>(64, call->kernel->workspace(view, setting.threads)));
  return [call] {
    call->kernel->run(
        {call->attrs, call->operands, call->results, call->prepared, call->workspace.data(), *call->pool});
  };
}

ir::Type weight_type(const std::string& dtype, int64_t out, int64_t in) {
  ir::Type type(DType::f32, {{"n", out}, {"k", in}});
  if (dtype == "i8")  // a scale per row, not elements of that dtype
    type.format = "i8_p1";
  else if (auto dense = dtype_from_name(dtype))
    type.dtype = *dense;
  else if (const ir::Format* f = ir::find_format(dtype))
    type.format = f->panel ? dtype : dtype + "_p1";
  else
    throw_invalid("weights: found '" + dtype + "', expected a dtype or a block format such as q4_0");
  return type;
}

double bytes_of(const ir::Type& type) { return static_cast<double>(type.bytes()); }

HostMemory::HostMemory(int64_t bytes) : bytes_((bytes + kHugePage - 1) / kHugePage * kHugePage) {
  void* at =
      mmap(nullptr, static_cast<size_t>(bytes_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED)
    throw Error(ErrorCode::kResourceExhausted, "bench: cannot allocate " + std::to_string(bytes_) + " bytes");
  madvise(at, static_cast<size_t>(bytes_), MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(at);
  // Touched, so that no page is the shared page of zeros; and no denormal or NaN as float.
  std::memset(data_, 0x3d, static_cast<size_t>(bytes_));
}
HostMemory::~HostMemory() { munmap(data_, static_cast<size_t>(bytes_)); }

void fill_random(float* to, int64_t n, uint64_t seed) {
  Mixer mix(seed);
  for (int64_t i = 0; i < n; ++i) to[i] = mix.real();
}

}  // namespace hoist::bench
