#include "serve/keys_file.h"

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include <utility>
#include <vector>

#include "base/error.h"
#include "io/files.h"
#include "io/json.h"

namespace hoist::serve {

namespace {

constexpr size_t kMaxFileBytes = 8 << 20;

// What a parser says may quote the line, and with it a key.
[[noreturn]] void refuse(const std::string& source, const std::string& what) {
  throw_invalid(source + ": " + what + ", expected keys with their tenants, as in {\"KEY\": \"tenant\"}");
}

void add(const std::string& where, std::string_view key, std::string_view tenant, http::KeyRing& ring) {
  try {
    ring.add(key, tenant);
  } catch (const Error& e) {
    throw_invalid(where + ": " + e.what());
  }
}

void parse_json(std::string_view text, const std::string& source, http::KeyRing& ring) {
  std::vector<std::pair<std::string, std::string>> entries;
  try {
    const io::JsonDocument document = io::JsonDocument::parse(text, source);
    for (const auto& [key, tenant] : document.root().members()) entries.emplace_back(key, tenant.as_string());
  } catch (const Error&) {
    refuse(source, "not a JSON object of strings without doubled keys");
  }
  for (size_t i = 0; i < entries.size(); ++i)
    add(source + ": entry " + std::to_string(i + 1), entries[i].first, entries[i].second, ring);
}

void parse_toml(std::string_view text, const std::string& source, http::KeyRing& ring) {
  toml::table table;
  try {
    table = toml::parse(text, source);
  } catch (const toml::parse_error& e) {
    refuse(source, "not TOML at line " + std::to_string(e.source().begin.line));
  }
  for (const auto& [key, node] : table) {
    const std::string where = "line " + std::to_string(node.source().begin.line);
    const auto tenant = node.value_exact<std::string_view>();
    if (!tenant) refuse(source, where + " holds no string");
    add(source + ": " + where, key.str(), *tenant, ring);
  }
}

}  // namespace

void parse_keys(std::string_view text, const std::string& source, http::KeyRing& ring) {
  const size_t before = ring.size();
  source.ends_with(".toml") ? parse_toml(text, source, ring) : parse_json(text, source, ring);
  if (ring.size() == before) refuse(source, "no key");
}

void load_keys(const std::string& path, http::KeyRing& ring) {
  parse_keys(io::read_file(path, kMaxFileBytes), path, ring);
}

}  // namespace hoist::serve
