// The text form of a graph, and its hash. Grammar: docs/graph_text.md.
#include <xxhash.h>

#include "ir/graph.h"

namespace hoist::ir {

namespace {

void quote(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    out += c;
  }
  out += '"';
}

void value(std::string& out, ValueId v) {
  out += '%';
  out += std::to_string(v);
}

}  // namespace

std::string print(const Graph& graph) {
  std::string out = "graph ";
  quote(out, graph.name);
  out += " stage=";
  out += stage_name(graph.stage);
  out += '\n';
  size_t input = 0, state = 0, node = 0;
  ValueId next = 0;
  // Lines appear in order of value id, so that parsing assigns the same ids.
  while (next < static_cast<ValueId>(graph.values.size())) {
    if (input < graph.inputs.size() && graph.inputs[input].value == next) {
      const Input& i = graph.inputs[input++];
      out += "input ";
      value(out, i.value);
      out += ' ';
      quote(out, i.name);
      out += " : " + to_string(graph.type(i.value)) + '\n';
      ++next;
    } else if (state < graph.states.size() && graph.states[state].value == next) {
      const State& s = graph.states[state++];
      out += "state ";
      value(out, s.value);
      out += ' ';
      quote(out, s.name);
      out += " role=";
      out += role_name(s.role);
      out += " tier=";
      out += tier_name(s.tier);
      if (s.wants_grad) out += " trainable";
      out += " : " + to_string(graph.type(s.value)) + '\n';
      ++next;
    } else {
      HOIST_CHECK(node < graph.nodes.size() && graph.nodes[node].first_result == next,
                  "graph values out of order");
      const Node& n = graph.nodes[node++];
      for (int i = 0; i < n.num_results; ++i) {
        if (i) out += ", ";
        value(out, n.first_result + i);
      }
      out += " = ";
      out += n.op->name;
      out += '(';
      for (size_t i = 0; i < n.operands.size(); ++i) {
        if (i) out += ", ";
        value(out, n.operands[i]);
      }
      out += ')';
      std::string attrs = n.op->attrs->print(n.attrs);
      if (!attrs.empty()) out += " {" + attrs + '}';
      if (!n.scope.empty()) {
        out += " @";
        quote(out, n.scope.name());
      }
      out += " : ";
      for (int i = 0; i < n.num_results; ++i) {
        if (i) out += ", ";
        out += to_string(graph.type(n.first_result + i));
      }
      out += '\n';
      next += n.num_results;
    }
  }
  for (const Output& o : graph.outputs) {
    out += "output ";
    quote(out, o.name);
    out += ' ';
    value(out, o.value);
    out += '\n';
  }
  for (const Update& u : graph.updates) {
    out += "update ";
    quote(out, graph.states[u.state].name);
    out += ' ';
    value(out, u.value);
    out += '\n';
  }
  return out;
}

std::string hash(const Graph& graph) {
  std::string text = print(graph);
  XXH128_hash_t h = XXH3_128bits(text.data(), text.size());
  XXH128_canonical_t c;
  XXH128_canonicalFromHash(&c, h);
  std::string out;
  for (unsigned char byte : c.digest) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

}  // namespace hoist::ir
