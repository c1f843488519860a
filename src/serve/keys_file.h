// API keys from a file: {"KEY": "tenant", ...} as JSON, or as TOML (KEY = "tenant" lines) when its name ends
// in .toml.
#pragma once

#include <string>
#include <string_view>

#include "http/key_ring.h"

namespace hoist::serve {

// Adds what the text holds. Throws Error naming `source`, and an entry or line, never a key.
void parse_keys(std::string_view text, const std::string& source, http::KeyRing& ring);
void load_keys(const std::string& path, http::KeyRing& ring);

}  // namespace hoist::serve
