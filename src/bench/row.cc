#include "bench/row.h"

#include <cstdio>

#include "io/json_value.h"

namespace hoist::bench {

const PeerValue* Row::best_peer() const {
  const PeerValue* best = nullptr;
  for (const PeerValue& p : peers)
    if (p.value > 0 && (!best || p.value > best->value)) best = &p;
  return best;
}

std::string to_json(const std::vector<Row>& rows) {
  io::JsonValue out = io::JsonValue::array();
  for (const Row& r : rows) {
    io::JsonValue j = {{"name", r.name},   {"shape", r.shape}, {"dtype", r.dtype},   {"threads", r.threads},
                       {"value", nullptr}, {"unit", r.unit},   {"ceiling", nullptr}, {"share", nullptr}};
    if (r.value > 0) j["value"] = r.value;
    if (r.ceiling > 0) {
      j["ceiling"] = r.ceiling;
      if (r.value > 0) j["share"] = r.share();
    }
    if (const PeerValue* best = r.best_peer()) {
      j["peer"] = best->name;
      j["ratio"] = r.value / best->value;
      for (const PeerValue& p : r.peers) j["peers"][p.name] = p.value;
    }
    if (!r.note.empty()) j["note"] = r.note;
    out.push_back(std::move(j));
  }
  return out.dump(1);
}

std::string header_line() {
  return "name                 shape                        dtype  threads      value unit        share  "
         "peers";
}

std::string to_line(const Row& r) {
  char text[256];
  if (r.value <= 0) {
    std::snprintf(text, sizeof text, "%-20s %-28s %-6s %7d  %s", r.name.c_str(), r.shape.c_str(),
                  r.dtype.c_str(), r.threads, r.note.c_str());
    return text;
  }
  std::snprintf(text, sizeof text, "%-20s %-28s %-6s %7d %10.4g %-10s", r.name.c_str(), r.shape.c_str(),
                r.dtype.c_str(), r.threads, r.value, r.unit.c_str());
  std::string line = text;
  if (r.ceiling > 0) {
    std::snprintf(text, sizeof text, " %5.1f%%", 100 * r.share());
    line += text;
  } else {
    line += "       ";
  }
  for (const PeerValue& p : r.peers) {
    std::snprintf(text, sizeof text, "  %s %.4g (%.2fx)", p.name.c_str(), p.value,
                  p.value > 0 ? r.value / p.value : 0);
    line += text;
  }
  if (!r.note.empty()) line += "  " + r.note;
  return line;
}

}  // namespace hoist::bench
