// See guard.h.
#include "http/guard.h"

#include <arpa/inet.h>

#include <algorithm>

#include "http/message.h"

namespace hoist::http {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool decode_path(std::string_view raw, std::string& path) {
  path.clear();
  for (size_t i = 0; i < raw.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(raw[i]);
    if (c == '%') {
      if (i + 2 >= raw.size()) return false;
      const int high = hex_digit(raw[i + 1]), low = hex_digit(raw[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<unsigned char>(high * 16 + low);
      i += 2;
      if (c == '/' || c == '\\') return false;
    }
    if (c < 0x20 || c == 0x7f) return false;
    path += static_cast<char>(c);
  }
  return true;
}

}  // namespace

bool equals_ignore_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

const std::string* Request::header(std::string_view name) const {
  for (const Header& h : headers)
    if (equals_ignore_case(h.name, name)) return &h.value;
  return nullptr;
}

bool is_ip_literal(std::string_view host) {
  const std::string text(host);
  unsigned char address[16];
  return inet_pton(AF_INET, text.c_str(), address) == 1 || inet_pton(AF_INET6, text.c_str(), address) == 1;
}

bool is_loopback_literal(std::string_view host) {
  const std::string text(host);
  unsigned char address[16];
  if (inet_pton(AF_INET, text.c_str(), address) == 1) return address[0] == 127;
  if (inet_pton(AF_INET6, text.c_str(), address) != 1) return false;
  return std::all_of(address, address + 15, [](unsigned char b) { return b == 0; }) && address[15] == 1;
}

bool split_authority(std::string_view authority, std::string& host, std::string& port) {
  host.clear();
  port.clear();
  std::string_view rest;
  if (authority.starts_with('[')) {
    const size_t close = authority.find(']');
    if (close == std::string_view::npos) return false;
    host = authority.substr(1, close - 1);
    if (host.find(':') == std::string::npos || !is_ip_literal(host)) return false;
    rest = authority.substr(close + 1);
  } else {
    const size_t colon = authority.find(':');
    host = authority.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view() : authority.substr(colon);
    const auto plain = [](char c) {
      return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '.' ||
             c == '_';
    };
    if (host.empty() || !std::all_of(host.begin(), host.end(), plain)) return false;
  }
  if (rest.empty()) return true;
  if (rest[0] != ':' || rest.size() > 6) return false;
  port = rest.substr(1);
  return std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool host_allowed(std::string_view authority, const std::vector<std::string>& allowed) {
  std::string host, port;
  if (!split_authority(authority, host, port)) return false;
  if (is_ip_literal(host) || equals_ignore_case(host, "localhost")) return true;
  return std::any_of(allowed.begin(), allowed.end(),
                     [&](const std::string& name) { return equals_ignore_case(name, host); });
}

bool origin_allowed(std::string_view origin, std::string_view authority) {
  for (std::string_view scheme : {"http://", "https://"})
    if (origin.starts_with(scheme) && equals_ignore_case(origin.substr(scheme.size()), authority))
      return true;
  return false;
}

bool parse_target(std::string_view target, std::string& path, std::string& query, std::string& authority) {
  authority.clear();
  query.clear();
  if (!target.starts_with('/')) {
    std::string_view scheme = "http://";
    if (target.size() <= scheme.size() || !equals_ignore_case(target.substr(0, scheme.size()), scheme))
      return false;
    target.remove_prefix(scheme.size());
    const size_t slash = std::min(target.find('/'), target.find('?'));
    authority = target.substr(0, slash);
    if (authority.empty()) return false;
    target = slash == std::string_view::npos ? std::string_view("/") : target.substr(slash);
    if (!target.starts_with('/')) return false;
  }
  if (target.find('#') != std::string_view::npos) return false;
  const size_t question = target.find('?');
  if (question != std::string_view::npos) query = target.substr(question + 1);
  return decode_path(target.substr(0, question), path);
}

}  // namespace hoist::http
