// Names that nobody means well with: 500 for every place where a name comes in from outside. The same ones
// every time; none is the name of anything that the tests serve or keep.
#pragma once

#include <random>
#include <set>
#include <string>
#include <vector>

namespace hoist::support {

inline std::string percent_encoded(const std::string& text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9')) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

// What others are put around and between.
inline const std::vector<std::string>& hostile_parts() {
  using std::string;
  static const std::vector<string> parts = {
      // Paths out of the folder, as such and as two decoders see them.
      "..", ".", "../..", "../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "/proc/self/environ",
      "./../x", "a/../../b", "..\\..\\windows", "C:\\Windows\\System32", "\\\\host\\share", "~/.ssh/id_rsa",
      "~root", "file:///etc/passwd", "....//....//x", "..;/x", "%2e%2e%2f", "%2e%2e/", "..%2f..%2f",
      "%252e%252e%252f", "%c0%ae%c0%ae/", "%00", "%0d%0aX-Injected:%20yes", "/", "//", "a//b", "a/", "/a",
      ".hidden", "org/.git", "..org/name",
      // Devices, streams and endings of other systems.
      "CON", "nul", "aux.txt", "COM1", "LPT9.", "name::$DATA", "name.", "name ", " name", "PRN/x",
      // Controls.
      string("\0", 1), string("a\0b", 3), string("ok\0/../../etc/passwd", 20), "\n", "\r\n",
      "a\r\nX-Injected: yes\r\n\r\n", "\t", "\x1b[31mred", "\x1b]0;title\x07", "\x7f", "\x08\x08\x08",
      "a\vb\fc", "line\nhoist:num_requests_running 9",
      // Not UTF-8, or not as it should be.
      "\xff\xfe", "\xc0\xaf", "\xed\xa0\x80", "\xf8\x88\x80\x80\x80", "\xc3", "\xf4\x90\x80\x80", "\xe2\x82",
      // Letters that look like others, and marks that turn or join text.
      "\xd0\xb0\xd1\x80\xd1\x80le", "fake\xe2\x80\x90model",
      "\xef\xbd\x86\xef\xbd\x81\xef\xbd\x8b\xef\xbd\x85",
      "\xe2\x80\xae"
      "ledom",
      "\xe2\x80\x8b", "fake\xe2\x80\x8bmodel",
      "\xef\xbb\xbf"
      "fake-model",
      "\xef\xbc\x8f\xef\xbc\x8e\xef\xbc\x8e", "\xe2\x88\x95", "\xe2\x80\xa5/", "\xf0\x9f\x92\xa9",
      "a\xcc\x81\xcc\x81\xcc\x81", "\xc2\x85", "\xe2\x80\xa8", "\xc4\xb0",
      // Shells, formats, templates, queries.
      "$(touch pwned)", "`touch pwned`", "; rm -rf .", "| cat", "&& id", "$HOME", "${IFS}", "*", "?", "[a-z]",
      "{a,b}", "!x", "-rf", "--help", "-", "--", "%s%s%s%n", "%n%n%n%n", "%1000000d", "{}", "{0}",
      "{:>99999999}", "{{7*7}}", "{% x %}", "' OR '1'='1", "\"; DROP TABLE models; --", "${jndi:ldap://x}",
      "#{1+1}", "<%= 1 %>",
      // Markup and JSON.
      "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=alert(1)>", "</title>",
      "&lt;b&gt;", "&#x3c;", "javascript:alert(1)", "data:text/html,x", "\"", "\\", "\\\"",
      "\",\"admin\":true,\"x\":\"", "\\u0000", "\\ud800", "[]", "null", "true", "0", "-1", "1e999", "NaN",
      "undefined", "constructor", "__proto__", "toString"};
  return parts;
}

inline std::vector<std::string> hostile_names(size_t count = 500) {
  std::vector<std::string> names;
  std::set<std::string> seen = {"fake-model", "fake-encoder"};
  const auto add = [&](std::string name) {
    if (names.size() < count && seen.insert(name).second) names.push_back(std::move(name));
  };
  const std::vector<std::string>& parts = hostile_parts();
  for (const std::string& part : parts) add(part);
  for (const size_t size : {size_t{129}, size_t{256}, size_t{1025}, size_t{4096}, size_t{8000}}) {
    add(std::string(size, 'a'));
    add(std::string(size, '.'));
    add(std::string(size, '/'));
    std::string deep;
    while (deep.size() < size) deep += "../";
    add(deep);
    add(std::string(size, '\x01'));
  }
  std::mt19937 random(20260101);
  for (unsigned i = 0; names.size() < count; ++i) {
    const std::string& a = parts[random() % parts.size()];
    const std::string& b = parts[random() % parts.size()];
    switch (i % 6) {
      case 0: add("fake-model/" + a); break;
      case 1: add("fake-model" + a); break;
      case 2: add(a + "/" + b); break;
      case 3: add(percent_encoded(a)); break;
      case 4: add(a + b); break;
      default: {  // any bytes at all
        std::string bytes(1 + random() % 40, '\0');
        for (char& c : bytes) c = static_cast<char>(random());
        add(bytes);
      }
    }
  }
  return names;
}

}  // namespace hoist::support
