// See encoder_request.h.
#include "http/encoder_request.h"

#include <limits>

#include "http/api_error.h"
#include "io/json.h"

namespace hoist::http {
namespace {

using io::Json;
using Route = EncoderCall::Route;

constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();

void check_count(const Json& list, std::string_view what) {
  if (list.size() == 0) list.refuse("at least one " + std::string(what));
  if (list.size() > static_cast<size_t>(EncoderCall::kMaxInputs))
    list.fail(ErrorCode::kInvalidArgument, "found " + std::to_string(list.size()) +
                                               " entries, expected at most " +
                                               std::to_string(EncoderCall::kMaxInputs));
}

void read_ids(const Json& list, std::vector<int64_t>& ids) {
  if (list.size() == 0) list.refuse("at least one token");
  ids.reserve(list.size());
  for (const Json id : list.elements()) ids.push_back(id.as_int(0, kMaxInt));
}

// A string, a list of strings, a list of tokens, or a list of such lists.
void read_inputs(const Json& input, std::vector<EncodeRequest>& out) {
  const auto add = [&](const Json& one) {
    EncodeRequest& request = out.emplace_back();
    if (one.is_string()) {
      request.text = one.as_string();
    } else if (one.is_array()) {
      read_ids(one, request.ids);
    } else {
      one.refuse("a string or a list of tokens");
    }
  };
  if (input.is_string()) return add(input);
  if (!input.is_array())
    input.refuse("a string, a list of strings, a list of tokens, or a list of such lists");
  if (input.size() == 0) input.refuse("at least one input or token");
  if ((*input.elements().begin()).is_number()) return add(input);
  check_count(input, "input");
  for (const Json one : input.elements()) add(one);
}

// A string or a list of strings; a document may also be an object with its text.
std::vector<std::string> read_texts(const Json& value, bool objects) {
  std::vector<std::string> out;
  const auto add = [&](const Json& one) {
    if (objects && one.is_object()) {
      out.emplace_back(one.at("text").as_string());
      for (const auto& [key, other] : one.members())
        if (key != "text") other.fail(ErrorCode::kUnsupported, "unknown field");
    } else {
      out.emplace_back(one.as_string());
    }
  };
  if (!value.is_array()) {
    add(value);
    return out;
  }
  check_count(value, "text");
  for (const Json one : value.elements()) add(one);
  return out;
}

// Fields that only one route has; false: not one of them.
bool read_own(Route route, EncoderCall& call, std::string_view key, const Json& value) {
  switch (route) {
    case Route::kEmbeddings:
      if (key == "input") {
        read_inputs(value, call.inputs);
      } else if (key == "encoding_format") {
        const std::string_view format = value.as_string();
        if (format != "float" && format != "base64") value.refuse("float or base64");
        call.base64 = format == "base64";
      } else if (key == "dimensions") {
        call.dimensions = value.as_int(1, kMaxInt);
      } else {
        return false;
      }
      return true;
    case Route::kClassify:
      if (key != "input" && key != "inputs") return false;
      if (!call.inputs.empty()) value.fail(ErrorCode::kInvalidArgument, "given together with input");
      read_inputs(value, call.inputs);
      return true;
    case Route::kRerank:
      if (key == "query") {
        call.left = {std::string(value.as_string())};
      } else if (key == "documents") {
        if (!value.is_array()) value.refuse("a list of documents");
        call.right = read_texts(value, true);
      } else if (key == "top_n") {
        call.top_n = value.as_int(1, kMaxInt);
      } else if (key == "return_documents") {
        call.return_documents = value.as_bool();
      } else {
        return false;
      }
      return true;
    case Route::kScore:
      if (key == "text_1") {
        call.left = read_texts(value, false);
      } else if (key == "text_2") {
        call.right = read_texts(value, false);
      } else {
        return false;
      }
      return true;
  }
  return false;
}

void read_field(Route route, EncoderCall& call, std::string_view key, const Json& value) {
  if (key == "model") {
    if (!value.is_null()) call.model = value.as_string();
  } else if (key == "user") {
    if (!value.is_null()) value.as_string();
  } else if (key == "truncate") {
    call.truncate = value.as_bool();
  } else if (value.is_null() && (key == "encoding_format" || key == "dimensions" || key == "top_n" ||
                                 key == "return_documents")) {
    return;  // an absent value, as many clients write it
  } else if (!read_own(route, call, key, value)) {
    value.fail(ErrorCode::kUnsupported, "unknown field");
  }
}

[[noreturn]] void missing(std::string_view field) {
  throw ApiError(400, "request body: " + std::string(field) + ": missing", std::string(field),
                 "missing_field");
}

void finish(Route route, EncoderCall& call) {
  switch (route) {
    case Route::kEmbeddings:
    case Route::kClassify:
      if (call.inputs.empty()) missing("input");
      for (EncodeRequest& input : call.inputs) {
        input.truncate = call.truncate;
        input.task = route == Route::kClassify ? EncodeTask::kClassify : EncodeTask::kEmbed;
      }
      return;
    case Route::kRerank:
      if (call.left.empty()) missing("query");
      if (call.right.empty()) missing("documents");
      return;
    case Route::kScore:
      if (call.left.empty()) missing("text_1");
      if (call.right.empty()) missing("text_2");
      if (call.left.size() != 1 && call.left.size() != call.right.size())
        throw ApiError(400,
                       "request body: text_2: found " + std::to_string(call.right.size()) + " texts for " +
                           std::to_string(call.left.size()) + " of text_1, expected as many, or one text_1",
                       "text_2", "invalid_argument");
      return;
  }
}

}  // namespace

EncoderCall parse_encoder_call(Route route, std::string_view body, size_t max_bytes) {
  io::JsonOptions options;
  options.max_bytes = max_bytes;
  options.syntax_error = ErrorCode::kInvalidArgument;
  const io::JsonDocument document = [&] {
    try {
      return io::JsonDocument::parse(body, "request body", options);
    } catch (const Error& error) {
      throw ApiError(400, error.what(), "", "invalid_json");
    }
  }();
  const Json root = document.root();
  if (!root.is_object()) throw ApiError(400, "request body: expected a JSON object", "", "invalid_json");
  EncoderCall call;
  for (const auto& [key, value] : root.members()) {
    try {
      read_field(route, call, key, value);
    } catch (const Error& error) {
      throw ApiError(400, error.what(), std::string(key), std::string(error_code_name(error.code())));
    }
  }
  finish(route, call);
  return call;
}

}  // namespace hoist::http
