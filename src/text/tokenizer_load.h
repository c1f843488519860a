// What tokenizer_load.cc and tokenizer_load_model.cc share. For those two only.
#pragma once

#include "text/tokenizer_impl.h"

namespace hoist::text {

class JsonObject;

[[noreturn]] void unknown_type(const JsonObject& object, std::string_view supported);

// Reads the section `model` of `file`, which is called `name`, into `out`. `ranks` as in tokenizer_ranked.h.
void read_model(const JsonObject& file, const std::string& name, const std::vector<uint32_t>* ranks,
                WordModel& out);

}  // namespace hoist::text
