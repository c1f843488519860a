// Values as text: Python's str(), repr() and json.dumps(). Depth is bounded by that of values.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/jinja/machine.h"
#include "text/jinja/strings.h"

namespace hoist::text::jinja {

using Kind = Value::Kind;

std::string Machine::text(const Value& v) {
  std::string out;
  append_text(out, v);
  return out;
}

void Machine::append_text(std::string& out, const Value& v) {
  if (v.is_string()) {
    check_memory(out.size() + v.as_string().size());
    burn_bytes(v.as_string().size());
    out += v.as_string();
  } else if (!v.is_undefined()) {
    append_repr(out, v);
  }
}

void Machine::append_repr(std::string& out, const Value& v, int depth) {
  burn(1);
  // A namespace may hold itself; everything else ends by itself.
  if (depth > Value::kMaxDepth) exhausted("a value nests too deep to be printed");
  switch (v.kind()) {
    case Kind::kUndefined: out += "Undefined"; return;
    case Kind::kNone: out += "None"; return;
    case Kind::kBool: out += v.as_bool() ? "True" : "False"; return;
    case Kind::kInt: out += std::to_string(v.as_int()); return;
    case Kind::kFloat: out += float_text(v.as_float()); return;
    case Kind::kString:
      burn_bytes(v.as_string().size());
      jinja::append_repr(out, v.as_string());
      check_memory(out.size());
      return;
    case Kind::kDict: {
      out += '{';
      bool first = true;
      for (const auto& [key, value] : v.entries()) {
        if (!first) out += ", ";
        first = false;
        append_repr(out, key, depth + 1);
        out += ": ";
        append_repr(out, value, depth + 1);
      }
      out += '}';
      return;
    }
    case Kind::kSequence: break;
    case Kind::kObject:
      if (is_native(v, NativeKind::kMacro)) {
        out += "<Macro ";
        jinja::append_repr(out, static_cast<const MacroObject&>(native_of(v)).code->name);
        out += '>';
      } else if (is_native(v, NativeKind::kNamespace)) {
        out += "<Namespace {";
        bool first = true;
        for (const auto& [name, value] : static_cast<const NamespaceObject&>(native_of(v)).attributes) {
          if (!first) out += ", ";
          first = false;
          jinja::append_repr(out, name);
          out += ": ";
          append_repr(out, value, depth + 1);
        }
        out += "}>";
      } else if (is_native(v, NativeKind::kLoop)) {
        const auto& loop = static_cast<const LoopObject&>(native_of(v));
        out += fmt::format("<LoopContext {}/{}>", loop.index + 1, loop.items.items().size());
      } else {
        out += fmt::format("<{}>", type_name(v));
      }
      return;
  }
  const Items& items = v.items();
  std::string_view open = "[", close = "]";
  switch (sequence_of(v).flavor) {
    case Flavor::kList: break;
    case Flavor::kTuple:
    case Flavor::kGroup:
      open = "(";
      close = items.size() == 1 ? ",)" : ")";
      break;
    case Flavor::kRange:
      if (items.empty()) {
        out += "range(0, 0)";
      } else {
        const int64_t step = items.size() > 1 ? items[1].as_int() - items[0].as_int() : 1;
        const int64_t stop = items.back().as_int() + (step > 0 ? 1 : -1);
        out += step == 1 ? fmt::format("range({}, {})", items[0].as_int(), stop)
                         : fmt::format("range({}, {}, {})", items[0].as_int(), stop, step);
      }
      return;
    case Flavor::kGenerator: out += "<generator>"; return;
    default:
      out += type_name(v);
      open = "([";
      close = "])";
  }
  out += open;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ", ";
    append_repr(out, items[i], depth + 1);
  }
  out += close;
}

void Machine::append_json(std::string& out, const Value& v, const JsonStyle& style, int depth) {
  burn(1);
  const auto new_line = [&](int level) {
    if (!style.multiline) return;
    check_memory(out.size() + style.indent.size() * static_cast<size_t>(level));
    burn_bytes(style.indent.size() * static_cast<size_t>(level));
    out += '\n';
    for (int i = 0; i < level; ++i) out += style.indent;
  };
  const auto json_float = [](double x) {
    return std::isnan(x) ? "NaN" : std::isinf(x) ? (x > 0 ? "Infinity" : "-Infinity") : float_text(x);
  };
  switch (v.kind()) {
    case Kind::kNone: out += "null"; return;
    case Kind::kBool: out += v.as_bool() ? "true" : "false"; return;
    case Kind::kInt: out += std::to_string(v.as_int()); return;
    case Kind::kFloat: out += json_float(v.as_float()); return;
    case Kind::kString:
      burn_bytes(v.as_string().size());
      append_json_string(out, v.as_string(), style.ascii);
      check_memory(out.size());
      return;
    case Kind::kSequence: {
      const Flavor flavor = sequence_of(v).flavor;
      if (flavor != Flavor::kList && flavor != Flavor::kTuple && flavor != Flavor::kGroup) break;
      out += '[';
      for (size_t i = 0; i < v.items().size(); ++i) {
        if (i > 0) out += style.item_separator;
        new_line(depth + 1);
        append_json(out, v.items()[i], style, depth + 1);
      }
      if (!v.items().empty()) new_line(depth);
      out += ']';
      check_memory(out.size());
      return;
    }
    case Kind::kDict: {
      std::vector<const std::pair<Value, Value>*> order;
      for (const auto& entry : v.entries()) order.push_back(&entry);
      if (style.sort_keys) {
        burn(order.size());
        std::stable_sort(order.begin(), order.end(),
                         [&](auto* a, auto* b) { return less(a->first, b->first); });
      }
      out += '{';
      for (size_t i = 0; i < order.size(); ++i) {
        if (i > 0) out += style.item_separator;
        new_line(depth + 1);
        const Value& key = order[i]->first;
        if (key.is_string()) {
          append_json_string(out, key.as_string(), style.ascii);
        } else if (key.is_sequence()) {
          fail("tojson: found a tuple as a key, expected a str, a number or none");
        } else {
          out += '"';
          append_json(out, key, style, depth + 1);
          out += '"';
        }
        out += style.key_separator;
        append_json(out, order[i]->second, style, depth + 1);
        burn_bytes(key.is_string() ? key.as_string().size() : 0);
      }
      if (!order.empty()) new_line(depth);
      out += '}';
      check_memory(out.size());
      return;
    }
    default: break;
  }
  need_defined(v);
  fail(fmt::format("tojson: a {} has no JSON", type_name(v)));
}

}  // namespace hoist::text::jinja
