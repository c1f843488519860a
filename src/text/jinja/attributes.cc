// What `object.name`, `object[key]` and `object[a:b:c]` give. As in the sandbox of Jinja, whatever is not
// there is undefined, not an error; but slices are Python's own.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/machine.h"
#include "text/jinja/strings.h"
#include "text/utf8.h"

namespace hoist::text::jinja {

using Kind = Value::Kind;

namespace {

std::string object_name(const Value& v) {
  return v.is_none() ? "None" : fmt::format("{} object", type_name(v));
}

bool is_indexable(const Value& v) {
  if (v.is_string()) return true;
  if (!v.is_sequence()) return false;
  const Flavor flavor = sequence_of(v).flavor;
  return flavor == Flavor::kList || flavor == Flavor::kTuple || flavor == Flavor::kRange ||
         flavor == Flavor::kGroup;
}

}  // namespace

void Machine::need_defined(const Value& v) const {
  if (!v.is_undefined()) return;
  fail(v.object() ? static_cast<const StringObject*>(v.object())->text : "found an undefined value");
}

int64_t Machine::need_int(const Value& v, std::string_view what) const {
  need_defined(v);
  if (!is_integer(v)) fail(fmt::format("{}: found a {}, expected an int", what, type_name(v)));
  return v.as_int();
}

const std::string& Machine::need_string(const Value& v, std::string_view what) const {
  need_defined(v);
  if (!v.is_string()) fail(fmt::format("{}: found a {}, expected a str", what, type_name(v)));
  return v.as_string();
}

std::optional<size_t> Machine::length(const Value& v) const {
  switch (v.kind()) {
    case Kind::kUndefined: return 0;
    case Kind::kString: return count_chars(v.as_string());
    case Kind::kDict: return v.entries().size();
    case Kind::kSequence:
      if (has_flavor(v, Flavor::kGenerator)) return std::nullopt;
      return v.items().size();
    default: return std::nullopt;
  }
}

Value Machine::iterate(const Value& v) {
  switch (v.kind()) {
    case Kind::kUndefined: return sequence({});
    case Kind::kString: {
      Items items;
      const std::string& text = v.as_string();
      burn(count_chars(text));
      for (size_t i = 0; i < text.size();) {
        const size_t n = char_length(static_cast<unsigned char>(text[i]));
        items.push_back(str(text.substr(i, n)));
        i += n;
      }
      return sequence(std::move(items));
    }
    case Kind::kDict: {
      Items items;
      for (const auto& [key, value] : v.entries()) items.push_back(key);
      return sequence(std::move(items));
    }
    case Kind::kSequence: {
      const SequenceObject& object = sequence_of(v);
      burn(1 + object.items.size() / 4);
      if (object.flavor != Flavor::kGenerator) return v;
      const size_t taken = std::exchange(object.taken, object.items.size());
      if (taken == 0) return v;
      return sequence(Items(object.items.begin() + static_cast<long>(taken), object.items.end()));
    }
    default: fail(fmt::format("a {} cannot be iterated over", type_name(v)));
  }
}

Value Machine::loop_attribute(const Value& value, std::string_view name) {
  const auto& loop = static_cast<const LoopObject&>(native_of(value));
  const Items& items = loop.items.items();
  const auto number = [](size_t x) { return Value::integer(static_cast<int64_t>(x)); };
  if (name == "index") return number(loop.index + 1);
  if (name == "index0") return number(loop.index);
  if (name == "revindex") return number(items.size() - loop.index);
  if (name == "revindex0") return number(items.size() - loop.index - 1);
  if (name == "first") return Value::boolean(loop.index == 0);
  if (name == "last") return Value::boolean(loop.index + 1 == items.size());
  if (name == "length") return number(items.size());
  if (name == "depth") return Value::integer(loop.depth);
  if (name == "depth0") return Value::integer(loop.depth - 1);
  if (name == "previtem")
    return loop.index > 0 ? items[loop.index - 1] : undefined("there is no previous item");
  if (name == "nextitem")
    return loop.index + 1 < items.size() ? items[loop.index + 1] : undefined("there is no next item");
  if (name == "cycle" || name == "changed") {
    auto method = std::make_shared<MethodObject>();
    method->self = value;
    method->name = name;
    charge(*method, sizeof(MethodObject) + 32);
    return Value(Kind::kObject, std::move(method));
  }
  return undefined(fmt::format("loop has no attribute '{}'", name));
}

Value Machine::attribute(const Value& object, const Value& name_value) {
  need_defined(object);
  const std::string& name = name_value.as_string();
  if (const MethodEntry* entry = find_method(object, name)) {
    if (!entry->fn)
      return undefined(
          fmt::format("{}.{} would change a value, which a template may not", type_name(object), name));
    auto method = std::make_shared<MethodObject>();
    method->self = object;
    method->entry = entry;
    charge(*method, sizeof(MethodObject) + 32);
    return Value(Kind::kObject, std::move(method));
  }
  if (object.is_dict()) {
    if (const Value* found = object.find(std::string_view(name))) return *found;
  } else if (has_flavor(object, Flavor::kGroup)) {
    if (name == "grouper") return object.items()[0];
    if (name == "list") return object.items()[1];
  } else if (is_native(object, NativeKind::kNamespace)) {
    for (const auto& [other, value] : static_cast<const NamespaceObject&>(native_of(object)).attributes)
      if (other == name) return value;
  } else if (is_native(object, NativeKind::kLoop)) {
    return loop_attribute(object, name);
  } else if (is_native(object, NativeKind::kMacro) && name == "name") {
    return str_of(static_cast<const MacroObject&>(native_of(object)).code->name);
  }
  return undefined(fmt::format("'{}' has no attribute '{}'", object_name(object), name));
}

Value Machine::subscript(const Value& object, const Value& key) {
  need_defined(object);
  if (object.is_dict() && is_hashable(key)) {
    if (const Value* found = object.find(key)) return *found;
  } else if (is_indexable(object) && is_integer(key)) {
    const auto size = static_cast<int64_t>(*length(object));
    int64_t index = key.as_int();
    if (index < 0) index += size;
    if (index >= 0 && index < size) {
      const auto at = static_cast<size_t>(index);
      if (object.is_sequence()) return object.items()[at];
      const std::string& text = object.as_string();
      burn_bytes(text.size());
      const size_t start = byte_offset(text, at);
      return str(text.substr(start, char_length(static_cast<unsigned char>(text[start]))));
    }
  }
  if (key.is_string()) {
    // A dict's own keys were looked up above; what is left are its methods.
    if (!object.is_dict() || find_method(object, key.as_string())) return attribute(object, key);
    return undefined(
        fmt::format("'{}' has no attribute '{}'", object_name(object), key.as_string().substr(0, 100)));
  }
  return undefined(fmt::format("{} has no element {}", object_name(object), text(key).substr(0, 100)));
}

Value Machine::slice(const Value& object, const Value& start, const Value& stop, const Value& step) {
  need_defined(object);
  const auto bound = [](const Value& v) { return v.is_none() || is_integer(v); };
  if (!is_indexable(object) || !bound(start) || !bound(stop) || !bound(step))
    fail(fmt::format("a {} cannot be sliced by {}, {}, {}", type_name(object), type_name(start),
                     type_name(stop), type_name(step)));
  const int64_t by = step.is_none() ? 1 : step.as_int();
  if (by == 0) fail("a slice cannot have step 0");
  const auto size = static_cast<int64_t>(*length(object));
  const int64_t lowest = by < 0 ? -1 : 0, highest = by < 0 ? size - 1 : size;
  const auto place = [&](const Value& v, int64_t otherwise) {
    if (v.is_none()) return otherwise;
    int64_t x = v.as_int();
    if (x < 0) x = x < -size ? lowest : x + size;
    return std::clamp(x, lowest, std::max(highest, lowest));
  };
  const int64_t from = place(start, by < 0 ? highest : lowest), to = place(stop, by < 0 ? lowest : highest);
  // Steps longer than the object take one item at most; shortening them keeps the arithmetic in range.
  const int64_t stride = std::clamp(by, -size - 1, size + 1);
  if (object.is_string()) {
    const std::string& text = object.as_string();
    burn_bytes(text.size());
    if (by == 1) {
      if (from >= to) return str("");
      const size_t begin = byte_offset(text, static_cast<size_t>(from));
      const size_t length = byte_offset(std::string_view(text).substr(begin), static_cast<size_t>(to - from));
      return str(text.substr(begin, length));
    }
    check_memory(text.size() * 4);
    std::vector<uint32_t> offsets;
    for (size_t i = 0; i < text.size(); i += char_length(static_cast<unsigned char>(text[i])))
      offsets.push_back(static_cast<uint32_t>(i));
    std::string out;
    for (int64_t i = from; by < 0 ? i > to : i < to; i += stride) {
      const size_t at = offsets[static_cast<size_t>(i)];
      out += text.substr(at, char_length(static_cast<unsigned char>(text[at])));
    }
    return str(std::move(out));
  }
  Items out;
  for (int64_t i = from; by < 0 ? i > to : i < to; i += stride)
    out.push_back(object.items()[static_cast<size_t>(i)]);
  const Flavor flavor = sequence_of(object).flavor;
  return sequence(std::move(out), flavor == Flavor::kGroup ? Flavor::kTuple : flavor);
}

Value Machine::attribute_path(const Value& object, const Value& path, const Value* otherwise) {
  Value item = object;
  const auto step = [&](const Value& key) {
    item = subscript(item, key);
    if (otherwise && item.is_undefined()) item = *otherwise;
  };
  if (path.is_none()) return item;
  if (!path.is_string()) {
    step(path);
    return item;
  }
  for (const std::string_view part : split(path.as_string(), ".", -1)) {
    const bool digits =
        !part.empty() && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
    const auto index = digits ? parse_int(part, 10) : std::nullopt;
    step(index ? Value::integer(*index) : str_of(part));
  }
  return item;
}

}  // namespace hoist::text::jinja
