// See api_error.h.
#include "http/api_error.h"

#include "base/error.h"
#include "http/completion_engine.h"
#include "io/json_value.h"

namespace hoist::http {
namespace {

ApiError from_error(const Error& error) {
  switch (error.code()) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
    case ErrorCode::kCorrupt:
      return ApiError(400, error.what(), "", std::string(error_code_name(error.code())));
    case ErrorCode::kNotFound: return ApiError(404, error.what(), "", "not_found");
    case ErrorCode::kResourceExhausted: {
      ApiError result(429, error.what(), "", "queue_full");
      result.headers.push_back({"Retry-After", "1"});
      return result;
    }
    case ErrorCode::kUnavailable: {
      ApiError result(503, error.what(), "", "unavailable");
      result.headers.push_back({"Retry-After", "5"});
      return result;
    }
    case ErrorCode::kIo: break;
  }
  // The text of a system error may name paths of this machine: it goes to the log, not to the client.
  return ApiError(500, "internal error", "", "internal_error");
}

}  // namespace

std::string_view error_type(int status) {
  switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 429: return "rate_limit_error";
    case 500: return "server_error";
    case 501: return "not_supported_error";
    case 503: return "unavailable_error";
    default: return "invalid_request_error";
  }
}

std::string error_json(const ApiError& error) {
  io::JsonValue body;
  auto& e = body["error"];
  e["message"] = error.message;
  e["type"] = error_type(error.status);
  e["param"] = error.param.empty() ? io::JsonValue() : io::JsonValue(error.param);
  e["code"] = error.code.empty() ? io::JsonValue() : io::JsonValue(error.code);
  return body.dump();
}

Response error_response(const ApiError& error) {
  Response response;
  response.status = error.status;
  response.body = error_json(error);
  response.headers = error.headers;
  return response;
}

ApiError current_api_error() {
  try {
    throw;
  } catch (const ApiError& error) {
    return error;
  } catch (const ContextLengthError& error) {
    return ApiError(400, error.what(), "prompt", "context_length_exceeded");
  } catch (const NotSupportedError& error) {
    return ApiError(501, error.what(), "", "not_implemented");
  } catch (const FieldError& error) {
    ApiError result = from_error(error);
    result.param = error.field();
    return result;
  } catch (const Error& error) {
    return from_error(error);
  } catch (...) {
    return ApiError(500, "internal error", "", "internal_error");
  }
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
  }
}

}  // namespace hoist::http
