// Errors as HTTP answers: {"error": {"message", "type", "param", "code"}} with a status.
//
// ApiError says it directly; to_api_error() maps hoist::Error by its code and any other exception to a 500
// whose text is not shown to the client.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"

namespace hoist::http {

class ApiError : public std::exception {
 public:
  ApiError(int status, std::string message, std::string param = "", std::string code = "")
      : status(status), message(std::move(message)), param(std::move(param)), code(std::move(code)) {}
  const char* what() const noexcept override { return message.c_str(); }

  int status;
  std::string message;
  std::string param;            // the request field to blame; empty: null
  std::string code;             // a stable word for programs, e.g. context_length_exceeded; empty: null
  std::vector<Header> headers;  // Retry-After, Allow
};

// "invalid_request_error", "rate_limit_error", ... for a status.
std::string_view error_type(int status);
// The JSON object, one line.
std::string error_json(const ApiError& error);
Response error_response(const ApiError& error);
// The exception being handled, as an answer. Call inside a catch block.
ApiError current_api_error();
// "Not Found" for 404; "Status" for what we never send.
std::string_view reason_phrase(int status);

}  // namespace hoist::http
