#include "bench/onednn.h"

#include <dlfcn.h>

#include "base/error.h"
#include "bench/op_run.h"

namespace hoist::bench {

namespace {

using Handle = OneDnn::Handle;
using Dims = int64_t[12];

struct ExecArgument {
  int index;
  Handle memory;
};

constexpr int kCpu = 1;                // engine kind
constexpr unsigned kInOrder = 1;       // stream flags
constexpr int kForwardInference = 96;  // kind of propagation

void fill_dims(const std::vector<int64_t>& from, Dims& to) {
  for (size_t i = 0; i < from.size() && i < 12; ++i) to[i] = from[i];
}

}  // namespace

struct OneDnn::Api {
  // Every function returns 0 on success.
  int (*engine_create)(Handle*, int, size_t);
  int (*engine_destroy)(Handle);
  int (*stream_create)(Handle*, Handle, unsigned);
  int (*stream_wait)(Handle);
  int (*stream_destroy)(Handle);
  int (*memory_desc_create_with_tag)(Handle*, int, const int64_t*, int, int);
  int (*memory_desc_destroy)(Handle);
  int (*memory_create)(Handle*, Handle, Handle, void*);
  int (*memory_get_data_handle)(Handle, void**);
  int (*memory_destroy)(Handle);
  size_t (*memory_desc_get_size)(Handle);
  int (*matmul_primitive_desc_create)(Handle*, Handle, Handle, Handle, Handle, Handle, Handle);
  int (*convolution_forward_primitive_desc_create)(Handle*, Handle, int, int, Handle, Handle, Handle, Handle,
                                                   const int64_t*, const int64_t*, const int64_t*,
                                                   const int64_t*, Handle);
  int (*reorder_primitive_desc_create)(Handle*, Handle, Handle, Handle, Handle, Handle);
  Handle (*primitive_desc_query_md)(Handle, int, int);
  int (*primitive_desc_destroy)(Handle);
  int (*primitive_create)(Handle*, Handle);
  int (*primitive_execute)(Handle, Handle, int, const ExecArgument*);
  int (*primitive_destroy)(Handle);

  Handle engine = nullptr, stream = nullptr;
  std::vector<Handle> layouts, descs;  // owned
};

OneDnn::OneDnn(const std::string& path, int threads) : api_(std::make_unique<Api>()) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) throw_not_found("--peer onednn=" + path + ": " + dlerror());
  auto find = [&](auto& function, const char* name) {
    const std::string symbol = std::string("dnnl_") + name;
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol.c_str()));
    if (!function) throw_not_found("--peer onednn=" + path + ": found no function " + symbol);
  };
  find(api_->engine_create, "engine_create");
  find(api_->engine_destroy, "engine_destroy");
  find(api_->stream_create, "stream_create");
  find(api_->stream_wait, "stream_wait");
  find(api_->stream_destroy, "stream_destroy");
  find(api_->memory_desc_create_with_tag, "memory_desc_create_with_tag");
  find(api_->memory_desc_destroy, "memory_desc_destroy");
  find(api_->memory_create, "memory_create");
  find(api_->memory_get_data_handle, "memory_get_data_handle");
  find(api_->memory_destroy, "memory_destroy");
  find(api_->memory_desc_get_size, "memory_desc_get_size");
  find(api_->matmul_primitive_desc_create, "matmul_primitive_desc_create");
  find(api_->convolution_forward_primitive_desc_create, "convolution_forward_primitive_desc_create");
  find(api_->reorder_primitive_desc_create, "reorder_primitive_desc_create");
  find(api_->primitive_desc_query_md, "primitive_desc_query_md");
  find(api_->primitive_desc_destroy, "primitive_desc_destroy");
  find(api_->primitive_create, "primitive_create");
  find(api_->primitive_execute, "primitive_execute");
  find(api_->primitive_destroy, "primitive_destroy");
  // Its threads are OpenMP's, found among the libraries it links.
  if (void* f = dlsym(library, "omp_set_num_threads")) reinterpret_cast<void (*)(int)>(f)(threads);
  if (api_->engine_create(&api_->engine, kCpu, 0) ||
      api_->stream_create(&api_->stream, api_->engine, kInOrder))
    throw_unsupported("--peer onednn=" + path + ": it has no CPU engine");
}

OneDnn::~OneDnn() {
  for (Handle d : api_->descs) api_->primitive_desc_destroy(d);
  for (Handle l : api_->layouts) api_->memory_desc_destroy(l);
  api_->stream_destroy(api_->stream);
  api_->engine_destroy(api_->engine);
}

Handle OneDnn::layout(const std::vector<int64_t>& dims, int data_type, int tag) {
  Dims d = {};
  fill_dims(dims, d);
  Handle out = nullptr;
  if (api_->memory_desc_create_with_tag(&out, static_cast<int>(dims.size()), d, data_type, tag))
    throw_unsupported("oneDNN refused a tensor layout");
  api_->layouts.push_back(out);
  return out;
}

Handle OneDnn::wanted(Handle primitive_desc, int query) {
  return api_->primitive_desc_query_md(primitive_desc, query, 0);  // belongs to the descriptor
}

OneDnn::Tensor OneDnn::empty(Handle layout) {
  Handle memory = nullptr;
  void* const kAllocate = reinterpret_cast<void*>(~uintptr_t{0});
  if (api_->memory_create(&memory, layout, api_->engine, kAllocate))
    throw Error(ErrorCode::kResourceExhausted, "oneDNN could not allocate a tensor");
  auto destroy = api_->memory_destroy;
  return Tensor(memory, [destroy](void* m) { destroy(m); });
}

OneDnn::Tensor OneDnn::random(Handle layout, Handle plain_f32) {
  Tensor from = empty(plain_f32), to = empty(layout);
  void* data = nullptr;
  api_->memory_get_data_handle(from.get(), &data);
  const size_t bytes = api_->memory_desc_get_size(plain_f32);
  fill_random(static_cast<float*>(data), static_cast<int64_t>(bytes / sizeof(float)), bytes);
  Handle desc = nullptr;
  if (api_->reorder_primitive_desc_create(&desc, plain_f32, api_->engine, layout, api_->engine, nullptr))
    throw_unsupported("oneDNN refused to reorder a tensor");
  api_->descs.push_back(desc);
  run(desc, {{kSource, from}, {kDestination, to}})();
  return to;
}

Handle OneDnn::matmul(Handle source, Handle weights, Handle destination) {
  Handle desc = nullptr;
  if (api_->matmul_primitive_desc_create(&desc, api_->engine, source, weights, nullptr, destination, nullptr))
    return nullptr;
  api_->descs.push_back(desc);
  return desc;
}

Handle OneDnn::convolution(int algorithm, Handle source, Handle weights, Handle destination,
                           const std::vector<int64_t>& strides, const std::vector<int64_t>& dilation,
                           const std::vector<int64_t>& pad_begin, const std::vector<int64_t>& pad_end) {
  Dims s = {}, d = {}, l = {}, r = {};
  fill_dims(strides, s), fill_dims(dilation, d), fill_dims(pad_begin, l), fill_dims(pad_end, r);
  Handle desc = nullptr;
  if (api_->convolution_forward_primitive_desc_create(&desc, api_->engine, kForwardInference, algorithm,
                                                      source, weights, nullptr, destination, s, d, l, r,
                                                      nullptr))
    return nullptr;
  api_->descs.push_back(desc);
  return desc;
}

Run OneDnn::run(Handle primitive_desc, const std::vector<Argument>& arguments) {
  Handle primitive = nullptr;
  if (api_->primitive_create(&primitive, primitive_desc))
    throw_unsupported("oneDNN could not create a primitive");
  auto destroy = api_->primitive_destroy;
  std::shared_ptr<void> owner(primitive, [destroy](void* p) { destroy(p); });
  std::vector<ExecArgument> list;
  for (const Argument& a : arguments) list.push_back({a.index, a.tensor.get()});
  return [api = api_.get(), owner, arguments, list] {
    if (api->primitive_execute(owner.get(), api->stream, static_cast<int>(list.size()), list.data()) ||
        api->stream_wait(api->stream))
      throw_unsupported("oneDNN could not execute a primitive");
  };
}

}  // namespace hoist::bench
