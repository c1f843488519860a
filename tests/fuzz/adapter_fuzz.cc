// A folder made of the input as a LoRA adapter: adapter_config.json up to the first zero byte, the header of
// adapter_model.safetensors up to the next, and its data. It is refused with an Error that names the folder,
// or its pairs have the sizes of the model's matrices and fill a slot and no byte beyond it.
//
// The model is one whole matrix, one that is cut into two by rows, and nothing else.
//
// Links: ir io
#include "base/check.h"
#include "decode/adapter.cc"  // all it needs of decode and models; the layers would bring the engine along
#include "scratch_folder.h"

using namespace hoist;
using namespace hoist::decode;

namespace {

constexpr int64_t kIn = 2, kSlots = 3;

models::AdapterTarget target(const std::string& tensor, int64_t out, int64_t first_row, int64_t rank) {
  models::AdapterTarget t;
  t.tensor = tensor;
  t.down_type = ir::Type(DType::f32, ir::Dims{{"adapters", kSlots}, {"lora_rank", rank}, {"in", kIn}});
  t.up_type = ir::Type(DType::f32, ir::Dims{{"adapters", kSlots}, {"out", out}, {"lora_rank", rank}});
  t.in = kIn;
  t.out = out;
  t.first_row = first_row;
  return t;
}

void check_slots(const Adapter* adapter, const models::AdapterShape& shape) {
  constexpr float kOutside = 12345;
  for (const models::AdapterTarget& t : models::adapter_targets({}, shape)) {
    const int64_t a = shape.rank * t.in, b = shape.rank * t.out;
    for (int64_t slot = 0; slot < kSlots; ++slot) {
      std::vector<float> down(static_cast<size_t>(a * kSlots), kOutside);
      std::vector<float> up(static_cast<size_t>(b * kSlots), kOutside);
      fill_adapter_slot(adapter, t, slot, down.data(), up.data());
      for (int64_t i = 0; i < a * kSlots; ++i)
        HOIST_CHECK(i / a == slot || down[static_cast<size_t>(i)] == kOutside, "a neighbour's slot");
      for (int64_t i = 0; i < b * kSlots; ++i)
        HOIST_CHECK(i / b == slot || up[static_cast<size_t>(i)] == kOutside, "a neighbour's slot");
    }
  }
}

}  // namespace

namespace hoist::models {

std::vector<AdapterTarget> adapter_targets(const std::vector<Parameter>&, const AdapterShape& shape) {
  return {target("m.q.weight", 3, 0, shape.rank), target("m.kv.weight", 2, 0, shape.rank),
          target("m.kv.weight", 1, 2, shape.rank)};
}

}  // namespace hoist::models

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t first = std::min(text.find('\0'), size), second = std::min(text.find('\0', first + 1), size);
  const std::string_view config = text.substr(0, first);
  const std::string_view header =
      first < size ? text.substr(first + 1, second - first - 1) : std::string_view();
  std::string tensors;
  for (int i = 0; i < 8; ++i) tensors += static_cast<char>(header.size() >> (8 * i));
  tensors += header;
  if (second < size) tensors += text.substr(second + 1);
  write_scratch("adapter_config.json", config);
  write_scratch("adapter_model.safetensors", tensors);
  const models::AdapterShape shape = {kSlots, 4};
  std::unique_ptr<Adapter> adapter;
  try {
    adapter = load_adapter(scratch_folder(), {}, shape);
  } catch (const Error& error) {
    HOIST_CHECK(std::string_view(error.what()).starts_with(scratch_folder()), "a refusal names its source");
    return 0;
  }
  HOIST_CHECK(adapter->rank >= 1 && adapter->rank <= shape.rank && !adapter->pairs.empty(),
              "an adapter of nothing");
  for (const Adapter::Pair& pair : adapter->pairs) {
    HOIST_CHECK(pair.tensor == "m.q.weight" || pair.tensor == "m.kv.weight", "a matrix the model lacks");
    HOIST_CHECK(static_cast<int64_t>(pair.down.size()) == adapter->rank * kIn, "size of A");
    HOIST_CHECK(static_cast<int64_t>(pair.up.size()) == adapter->rank * 3, "size of B");
  }
  check_slots(adapter.get(), shape);
  check_slots(nullptr, shape);
  return 0;
}
