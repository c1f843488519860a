// The checks a browser's same-origin rules rest on, and the parsing of request targets: pure functions on
// strings.
//
// Source: RFC 9112 section 3 (targets, Host), RFC 6454 section 7 (Origin). A DNS-rebinding page reaches a
// loopback server under its own domain name, so a Host that is neither an address nor a name we were given is
// refused.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hoist::http {

bool equals_ignore_case(std::string_view a, std::string_view b);

// "127.0.0.1", "::1", without brackets.
bool is_ip_literal(std::string_view host);
bool is_loopback_literal(std::string_view host);

// Splits "name", "name:80", "[::1]:80"; false when malformed. The port may be empty; brackets are dropped.
bool split_authority(std::string_view authority, std::string& host, std::string& port);

// An IP literal, "localhost", or one of `allowed` (names without port, case ignored).
bool host_allowed(std::string_view authority, const std::vector<std::string>& allowed);

// "http://" or "https://" followed by exactly the authority the request was sent to. "null" is never allowed.
bool origin_allowed(std::string_view origin, std::string_view authority);

// "/a%20b?q" -> path "/a b", query "q"; "http://host/path" also sets `authority`. False when malformed: bad
// escape, escaped or raw control character, escaped '/' (which would change what the path means), fragment,
// other forms.
bool parse_target(std::string_view target, std::string& path, std::string& query, std::string& authority);

}  // namespace hoist::http
