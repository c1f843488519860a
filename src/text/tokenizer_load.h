// What tokenizer_load.cc and tokenizer_load_model.cc share. Includes simdjson: for those two only.
#pragma once

#include "text/json_object.h"
#include "text/tokenizer_impl.h"

namespace hoist::text {

[[noreturn]] void unknown_type(const JsonObject& object, std::string_view supported);

// Reads `value`, the section `model` of the file `name`, into `out`. `ranks` as in tokenizer_ranked.h.
void read_model(JsonElement value, const std::string& name, const std::vector<uint32_t>* ranks,
                WordModel& out);

}  // namespace hoist::text
