// Any text as a line of a fine-tuning data set, in every form, and any bytes as a file of lines, compressed
// or not. Refusals are Errors that name their source; what is accepted becomes tokens with loss on answers
// alone, and packs into rows.
// Links: data text io
#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "data/json_items.h"
#include "data/line_reader.h"
#include "data/packing.h"
#include "data/sample_encoder.h"
#include "scratch_folder.h"
#include "text/bpe_trainer.h"

using namespace hoist;
using namespace hoist::data;

namespace {

constexpr const char* kTemplate =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}|\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

struct Model {
  std::unique_ptr<text::Tokenizer> tokenizer = text::Tokenizer::from_json(
      text::make_character_tokenizer("<>|\nabcdefghijklmnopqrstuvwxyz 0123456789"));
  text::ChatTemplate chat = text::ChatTemplate::from_text(kTemplate, {}, "template");
};

void check_rows(const std::vector<TokenSample>& samples) {
  constexpr int64_t kSeq = 32;
  SampleStore store(scratch_folder());
  for (const TokenSample& s : samples)
    if (s.ids.size() >= 2 && s.ids.size() <= kSeq + 1) store.add(s);
  store.finish();
  if (store.size() == 0) return;
  PackedBatches batches({{&store, 1}}, kSeq, true, 1);
  std::vector<int32_t> ids(kSeq), targets(kSeq), segments(kSeq), positions(kSeq);
  batches.fill(3, 1, {ids.data(), targets.data(), segments.data(), positions.data()});
  for (size_t i = 1; i < ids.size(); ++i) {
    HOIST_CHECK(segments[i] >= segments[i - 1], "segments rise");
    HOIST_CHECK(segments[i] > segments[i - 1] || positions[i] == positions[i - 1] + 1, "positions count up");
    HOIST_CHECK(targets[i - 1] < 0 || (segments[i] > segments[i - 1] || targets[i - 1] == ids[i]),
                "a target is the next id");
  }
}

void check_sample(std::string_view text, SampleFormat format) {
  static const Model model;
  const SampleEncoder encoder(*model.tokenizer, &model.chat, -1);
  try {
    const Sample sample = parse_sample(text, "fuzz", format);
    HOIST_CHECK(sample.messages.size() == sample.trained.size(), "every message has its mark");
    const std::vector<TokenSample> all = encoder.encode(sample, "fuzz");
    const bool wanted = std::find(sample.trained.begin(), sample.trained.end(), 1) != sample.trained.end();
    for (const TokenSample& s : all) {
      HOIST_CHECK(s.ids.size() == s.trained.size(), "every id has its mark");
      HOIST_CHECK(sample.kind != Sample::Kind::kChat || wanted || !s.any_trained(), "loss without an answer");
    }
    check_rows(all);
  } catch (const Error& error) {
    HOIST_CHECK(std::string_view(error.what()).starts_with("fuzz"),
                "a refusal names its source: " + std::string(error.what()));
  }
}

void check_lines(std::string_view bytes, const char* name) {
  const std::string path = write_scratch(name, bytes);
  try {
    LineReader reader(path, 1 << 16);
    std::string_view line;
    while (reader.next(line)) HOIST_CHECK(line.find('\n') == std::string_view::npos, "a line is one line");
    HOIST_CHECK(reader.bytes() >= reader.line_number() - 1, "lines have ends");
    JsonItems items(path);
    std::string item;
    while (items.next(item)) HOIST_CHECK(item.starts_with('{'), "an item is an object");
  } catch (const Error& error) {
    HOIST_CHECK(std::string_view(error.what()).starts_with(path), "a refusal names its file");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 8) {
    case 6: check_lines(text, "lines.jsonl"); break;
    case 7: check_lines(text, "lines.jsonl.zst"); break;
    default: check_sample(text, static_cast<SampleFormat>(data[0] % 8)); break;
  }
  return 0;
}
