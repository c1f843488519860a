// See request_head.h.
#include "http/request_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <limits>

#include "http/api_error.h"
#include "http/guard.h"

namespace hoist::http {
namespace {

namespace beast_http = boost::beast::http;
using beast_http::field;

std::string_view view(boost::beast::string_view s) { return {s.data(), s.size()}; }

[[noreturn]] void throw_malformed(const std::string& what) {
  throw ApiError(400, "malformed HTTP request: " + what, "", "malformed_http");
}

void check_framing(const beast_http::fields& fields, bool http10) {
  if (fields.count(field::content_length) > 1) throw_malformed("more than one Content-Length");
  // Beast takes "5, 5" for 5; another parser may not.
  const std::string_view length = view(fields[field::content_length]);
  if (length.find(',') != std::string_view::npos) throw_malformed("more than one Content-Length");
  const size_t codings = fields.count(field::transfer_encoding);
  if (codings == 0) return;
  if (codings > 1) throw_malformed("more than one Transfer-Encoding");
  if (fields.count(field::content_length)) throw_malformed("Content-Length with Transfer-Encoding");
  if (http10) throw_malformed("Transfer-Encoding in HTTP/1.0");
  if (!equals_ignore_case(view(fields[field::transfer_encoding]), "chunked"))
    throw ApiError(501, "Transfer-Encoding: only chunked is understood", "", "unknown_transfer_coding");
}

void check_host(const beast_http::fields& fields, bool http10, std::string authority,
                const ServerOptions& options) {
  const size_t hosts = fields.count(field::host);
  if (hosts > 1 || (hosts == 0 && !http10)) throw_malformed("expected exactly one Host header");
  if (authority.empty() && hosts) authority = view(fields[field::host]);
  if ((hosts || !authority.empty()) && !host_allowed(authority, options.allowed_hosts))
    throw ApiError(403, "Host: this server does not answer to this name; use an IP address or localhost", "",
                   "host_not_allowed");
  const size_t origins = fields.count(field::origin);
  if (origins > 1 || (origins == 1 && !origin_allowed(view(fields[field::origin]), authority)))
    throw ApiError(403, "Origin: pages of other sites may not use this server", "", "origin_not_allowed");
}

}  // namespace

RequestHead parse_request_head(std::string_view block, const ServerOptions& options) {
  // Beast joins folded lines, others do not (RFC 9112 section 5.2 lets a server refuse them).
  if (block.find("\r\n ") != std::string_view::npos || block.find("\r\n\t") != std::string_view::npos)
    throw_malformed("folded header line");
  beast_http::request_parser<beast_http::empty_body> parser;
  parser.header_limit(static_cast<uint32_t>(block.size() + 1));
  parser.body_limit(std::numeric_limits<uint64_t>::max());  // BodyReader holds the limit
  boost::beast::error_code ec;
  parser.put(boost::asio::buffer(block.data(), block.size()), ec);
  if (ec) throw_malformed(ec.message());
  if (!parser.is_header_done()) throw_malformed("incomplete header");

  const auto& message = parser.get();
  RequestHead head;
  Request& request = head.request;
  for (const auto& f : message)
    request.headers.push_back({std::string(view(f.name_string())), std::string(view(f.value()))});
  if (request.headers.size() > static_cast<size_t>(options.max_headers))
    throw ApiError(431,
                   fmt::format("too many headers: found {}, expected at most {}", request.headers.size(),
                               options.max_headers),
                   "", "too_many_headers");
  head.http10 = message.version() == 10;
  head.keep_alive = parser.keep_alive();
  check_framing(message, head.http10);

  request.method = view(message.method_string());
  std::string authority;
  if (!parse_target(view(message.target()), request.path, request.query, authority))
    throw ApiError(400, "malformed request target", "", "malformed_target");
  check_host(message, head.http10, authority, options);

  if (parser.chunked()) {
    head.body = BodyReader::chunked(options.max_body_bytes);
  } else if (const auto length = parser.content_length()) {
    head.body = BodyReader::fixed(*length, options.max_body_bytes);
  }
  if (const std::string* expect = request.header("Expect")) {
    if (!equals_ignore_case(*expect, "100-continue"))
      throw ApiError(417, "Expect: only 100-continue is understood", "", "expectation_failed");
    head.wants_continue = !head.http10 && !head.body.complete();
  }
  return head;
}

}  // namespace hoist::http
