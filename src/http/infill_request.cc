// See infill_request.h.
#include "http/infill_request.h"

#include "http/request_fields.h"

namespace hoist::http {
namespace {

using io::Json;

constexpr size_t kMaxFiles = 1024;
constexpr int64_t kMaxInt = INT32_MAX;

std::vector<InfillFile> read_files(const Json& list) {
  if (!list.is_array() || list.size() > kMaxFiles)
    list.refuse("a list of at most " + std::to_string(kMaxFiles) + " files");
  std::vector<InfillFile> files;
  for (const Json one : list.elements()) {
    if (!one.is_object()) one.refuse("an object of filename and text");
    InfillFile& file = files.emplace_back();
    file.text = one.at("text").as_string();
    if (const auto name = one.find("filename"); name && !name->is_null()) file.name = name->as_string();
    one.find("time");  // when an editor saw it
    for (const auto& [key, value] : one.unread_members())
      value.fail(ErrorCode::kUnsupported, "unknown field");
  }
  return files;
}

// A hint of llama-server's clients that changes nothing here; false for any other field.
bool is_hint(std::string_view key, const Json& value) {
  if (key == "samplers" || key == "response_fields") {
    for (const Json one : value.elements()) one.as_string();
  } else if (key == "cache_prompt") {
    value.as_bool();
  } else if (key == "n_indent" || key == "id_slot") {
    value.as_int(-1, kMaxInt);
  } else if (key == "t_max_prompt_ms" || key == "t_max_predict_ms") {
    value.as_double(-1, static_cast<double>(kMaxInt));
  } else {
    return false;
  }
  return true;
}

}  // namespace

CompletionsCall parse_infill_call(std::string_view body, size_t max_bytes) {
  RequestReader reader{RequestField::kInfill};
  reader.shared.max_tokens = CompletionRequest::kAsManyAsFit;
  std::string prefix, prompt, suffix;
  read_body(body, max_bytes, RequestField::kInfill, [&](std::string_view key, const Json& value) {
    if (key == "input_prefix") {
      prefix = value.as_string();
    } else if (key == "input_suffix") {
      suffix = value.as_string();
    } else if (key == "input_extra") {
      reader.shared.extra = read_files(value);
    } else if (key == "prompt") {
      prompt = value.as_string();
    } else if (key == "n_predict" && value.is_number() && value.as_int(-1, kMaxInt) == -1) {
      return;
    } else if (!is_hint(key, value) && !reader.read(key == "n_predict" ? "max_tokens" : key, value)) {
      value.fail(ErrorCode::kUnsupported, "unknown field");
    }
  });
  reader.check();
  reader.call.infill = true;
  reader.shared.prompt = prefix + prompt;
  reader.shared.suffix = std::move(suffix);
  reader.call.sequences.push_back(std::move(reader.shared));
  return std::move(reader.call);
}

}  // namespace hoist::http
