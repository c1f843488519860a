// Any text as JSON, as config.json (of a language model, of an encoder), as generation_config.json and as the
// pooling of a sentence encoder. What we accept as JSON, simdjson's DOM
// accepts too, and what it accepts we refuse only for the reasons we add; an accepted config is written and
// read back the same.
// Links: io
#include <simdjson.h>

#include "base/check.h"
#include "base/error.h"
#include "io/encoder_config.h"
#include "io/json.h"
#include "io/model_config.h"

using namespace hoist;
using namespace hoist::io;

namespace {

void check_json(std::string_view text) {
  simdjson::dom::parser parser;
  simdjson::dom::element element;
  const bool dom = parser.parse(text.data(), text.size()).get(element) == simdjson::SUCCESS;
  try {
    const JsonDocument doc = JsonDocument::parse(text, "fuzz");
    HOIST_CHECK(dom, "accepted what the DOM refuses");
    const std::string dump = doc.root().dump();
    HOIST_CHECK(JsonDocument::parse(dump, "fuzz").root().dump() == dump, "dump does not read back");
    doc.root().excerpt(20);
  } catch (const Error& error) {
    const std::string_view message = error.what();
    const bool ours = message.find("given twice") != message.npos ||
                      message.find("nested deeper") != message.npos ||
                      message.find("surrogate") != message.npos;
    HOIST_CHECK(!dom || ours, "refused what the DOM accepts: " + std::string(message));
  }
}

void check_config(std::string_view text) {
  ModelConfig config;
  try {
    config = parse_model_config(text, "fuzz");
  } catch (const Error&) {
    return;
  }
  HOIST_CHECK(
      config.hidden > 0 && config.layers > 0 && config.vocab > 0 && config.heads % config.kv_heads == 0,
      "an impossible config");
  const std::string written = write_model_config(config);
  HOIST_CHECK(write_model_config(parse_model_config(written, "fuzz")) == written,
              "config does not read back");
}

void check_generation(std::string_view text) {
  GenerationConfig config;
  try {
    config = parse_generation_config(text, "fuzz");
  } catch (const Error&) {
    return;
  }
  const std::string written = write_generation_config(config);
  HOIST_CHECK(write_generation_config(parse_generation_config(written, "fuzz")) == written,
              "does not read back");
}

void check_encoder(std::string_view text) {
  try {
    const EncoderConfig config = parse_encoder_config(text, "fuzz");
    HOIST_CHECK(config.hidden > 0 && config.hidden % config.heads == 0 && config.max_tokens() > 0 &&
                    config.classifies != config.labels.empty(),
                "an impossible encoder");
  } catch (const Error&) {
  }
  try {
    parse_pooling(text, "fuzz");
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_json(text);
  check_config(text);
  check_generation(text);
  check_encoder(text);
  return 0;
}
