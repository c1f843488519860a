// Filters that go over sequences.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/strings.h"

namespace hoist::text::jinja::filters {
namespace {

using Kind = Value::Kind;

Value folded(Machine& m, const Value& v, bool case_sensitive) {
  return case_sensitive || !v.is_string() ? v : m.str(lower(v.as_string()));
}

// Sorts `order` (indices) by keys. A comparison that throws leaves the order unfinished, which is then
// dropped.
std::vector<size_t> sorted_order(Machine& m, const Items& keys, bool reverse) {
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  // Not std::stable_sort: with an order that is none (NaN among the keys) it may do anything, and a merge of
  // our own merely gives some order.
  std::vector<size_t> other(order.size());
  for (size_t width = 1; width < order.size(); width *= 2) {
    for (size_t begin = 0; begin < order.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, order.size()),
                   end = std::min(begin + 2 * width, order.size());
      size_t a = begin, b = middle;
      for (size_t out = begin; out < end; ++out) {
        const bool take_b = b < end && (a >= middle || (reverse ? m.less(keys[order[a]], keys[order[b]])
                                                                : m.less(keys[order[b]], keys[order[a]])));
        other[out] = order[take_b ? b++ : a++];
      }
    }
    order.swap(other);
  }
  return order;
}

Value picked(Machine& m, const Items& items, const std::vector<size_t>& order) {
  Items out;
  out.reserve(order.size());
  for (const size_t i : order) out.push_back(items[i]);
  return m.sequence(std::move(out));
}

Value extreme(Machine& m, const Value& input, const Args& args, bool largest) {
  const Bound b(m, largest ? "max" : "min", args, {"case_sensitive", "attribute"});
  const Value items = m.iterate(input);
  if (items.items().empty()) return m.undefined("No aggregated item, sequence was empty.");
  const auto key_of = [&](const Value& item) {
    return folded(m, b[1] ? m.attribute_path(item, *b[1], nullptr) : item, b.flag(0, false));
  };
  size_t best = 0;
  Value best_key = key_of(items.items()[0]);
  for (size_t i = 1; i < items.items().size(); ++i) {
    Value key = key_of(items.items()[i]);
    if (largest ? m.less(best_key, key) : m.less(key, best_key)) {
      best = i;
      best_key = std::move(key);
    }
  }
  return items.items()[best];
}

// select, reject and the two that look at an attribute.
Value chosen(Machine& m, const Value& input, const Args& args, bool by_attribute, bool wanted) {
  const size_t skipped = by_attribute;
  if (args.positional.size() < skipped) m.fail("selectattr: found no attribute, expected its name");
  Items kept;
  if (truthy(input)) {
    const TestEntry* test = nullptr;
    std::string name;
    Args rest;
    if (args.positional.size() > skipped) {
      name = m.need_string(args.positional[skipped], "the test's name");
      test = find_test(name);
      rest.positional.assign(args.positional.begin() + static_cast<long>(skipped) + 1, args.positional.end());
      rest.named = args.named;
    }
    const Value items = m.iterate(input);
    for (const Value& item : items.items()) {
      const Value value = by_attribute ? m.attribute_path(item, args.positional[0], nullptr) : item;
      const bool holds = name.empty() ? truthy(value) : m.apply_test(name, test, value, rest);
      if (holds == wanted) kept.push_back(item);
    }
  }
  return m.sequence(std::move(kept), Flavor::kGenerator);
}

}  // namespace

Value batch(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "batch", args, {"linecount", "fill_with"}, 1);
  const int64_t width = m.need_int(*b[0], "batch");
  const Value items = m.iterate(input);
  Items rows, row;
  for (const Value& item : items.items()) {
    if (static_cast<int64_t>(row.size()) == width) rows.push_back(m.sequence(std::exchange(row, {})));
    row.push_back(item);
  }
  if (!row.empty()) {
    if (b[1] && !b[1]->is_none() && static_cast<int64_t>(row.size()) < width) {
      m.burn(static_cast<uint64_t>(width));
      m.check_memory(static_cast<size_t>(width) * sizeof(Value));
      row.resize(static_cast<size_t>(width), *b[1]);
    }
    rows.push_back(m.sequence(std::move(row)));
  }
  return m.sequence(std::move(rows), Flavor::kGenerator);
}

Value slice(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "slice", args, {"slices", "fill_with"}, 1);
  const int64_t columns = m.need_int(*b[0], "slice");
  if (columns <= 0) m.fail(fmt::format("slice: found {}, expected a number above 0", columns));
  m.burn(static_cast<uint64_t>(columns));
  const Value items = m.iterate(input);
  const auto count = static_cast<size_t>(columns), size = items.items().size();
  const size_t each = size / count, longer = size % count;
  Items out;
  size_t at = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t n = each + (i < longer);
    Items column(items.items().begin() + static_cast<long>(at),
                 items.items().begin() + static_cast<long>(at + n));
    at += n;
    if (b[1] && !b[1]->is_none() && i >= longer) column.push_back(*b[1]);
    out.push_back(m.sequence(std::move(column)));
  }
  return m.sequence(std::move(out), Flavor::kGenerator);
}

Value dictsort(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "dictsort", args, {"case_sensitive", "by", "reverse"});
  m.need_defined(input);
  if (!input.is_dict()) m.fail(fmt::format("dictsort: found a {}, expected a dict", type_name(input)));
  const std::string by = b[1] ? b.string(1) : "key";
  if (by != "key" && by != "value") m.fail("dictsort: expected by='key' or by='value'");
  Items pairs, keys;
  for (const auto& [key, value] : input.entries()) {
    pairs.push_back(m.sequence({key, value}, Flavor::kTuple));
    keys.push_back(folded(m, by == "key" ? key : value, b.flag(0, false)));
  }
  return picked(m, pairs, sorted_order(m, keys, b.flag(2, false)));
}

Value first(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "first", args, {});
  if (has_flavor(input, Flavor::kGenerator)) {
    const SequenceObject& object = sequence_of(input);
    if (object.taken < object.items.size()) return object.items[object.taken++];
  } else {
    const Value items = m.iterate(input);
    if (!items.items().empty()) return items.items()[0];
  }
  return m.undefined("No first item, sequence was empty.");
}

Value last(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "last", args, {});
  if (has_flavor(input, Flavor::kGenerator)) m.fail("last: found a generator, expected a list");
  const Value items = m.iterate(input);
  return items.items().empty() ? m.undefined("No last item, sequence was empty.") : items.items().back();
}

Value groupby(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "groupby", args, {"attribute", "default", "case_sensitive"}, 1);
  const Value items = m.iterate(input);
  const bool case_sensitive = b.flag(2, false);
  Items keys;
  for (const Value& item : items.items())
    keys.push_back(folded(m, m.attribute_path(item, *b[0], b[1]), case_sensitive));
  const std::vector<size_t> order = sorted_order(m, keys, false);
  Items groups, members;
  const auto finish = [&](size_t i) {
    // The name of a group is as its first member writes it.
    Value name = m.attribute_path(members[0], *b[0], b[1]);
    Value list = m.sequence(std::exchange(members, {}));
    groups.push_back(
        m.sequence({case_sensitive ? keys[i] : std::move(name), std::move(list)}, Flavor::kGroup));
  };
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && !m.equal(keys[order[i]], keys[order[i - 1]])) finish(order[i - 1]);
    members.push_back(items.items()[order[i]]);
  }
  if (!members.empty()) finish(order.back());
  return m.sequence(std::move(groups));
}

Value items(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "items", args, {});
  Items out;
  if (!input.is_undefined()) {
    if (!input.is_dict()) m.fail(fmt::format("items: found a {}, expected a dict", type_name(input)));
    for (const auto& [key, value] : input.entries()) out.push_back(m.sequence({key, value}, Flavor::kTuple));
  }
  return m.sequence(std::move(out), Flavor::kGenerator);
}

Value join(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "join", args, {"d", "attribute"});
  const std::string separator = b[0] ? m.text(*b[0]) : "";
  const Value items = m.iterate(input);
  std::string out;
  for (size_t i = 0; i < items.items().size(); ++i) {
    if (i > 0) out += separator;
    const Value& item = items.items()[i];
    m.append_text(out, b[1] && !b[1]->is_none() ? m.attribute_path(item, *b[1], nullptr) : item);
    m.burn(1);
    m.check_memory(out.size());
  }
  return m.str(std::move(out));
}

Value length(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "length", args, {});
  const auto size = m.length(input);
  if (input.is_string()) m.burn_bytes(input.as_string().size());
  if (!size) m.fail(fmt::format("length: a {} has none", type_name(input)));
  return Value::integer(static_cast<int64_t>(*size));
}

Value list(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "list", args, {});
  return m.sequence(m.iterate(input).items());
}

Value map(Machine& m, const Value& input, const Args& args) {
  Items out;
  if (args.positional.empty()) {
    const Bound b(m, "map", args, {"attribute", "default"}, 1);
    if (!truthy(input)) return m.sequence({}, Flavor::kGenerator);
    const Value items = m.iterate(input);
    for (const Value& item : items.items())
      out.push_back(m.attribute_path(item, *b[0], b[1] && !b[1]->is_none() ? b[1] : nullptr));
  } else {
    const std::string& name = m.need_string(args.positional[0], "map: the filter's name");
    if (!truthy(input)) return m.sequence({}, Flavor::kGenerator);
    const FilterEntry* filter = find_filter(name);
    Args rest;
    rest.positional.assign(args.positional.begin() + 1, args.positional.end());
    rest.named = args.named;
    const Value items = m.iterate(input);
    for (const Value& item : items.items()) out.push_back(m.apply_filter(name, filter, item, rest));
  }
  return m.sequence(std::move(out), Flavor::kGenerator);
}

Value max(Machine& m, const Value& input, const Args& args) { return extreme(m, input, args, true); }
Value min(Machine& m, const Value& input, const Args& args) { return extreme(m, input, args, false); }

Value reject(Machine& m, const Value& v, const Args& args) { return chosen(m, v, args, false, false); }
Value rejectattr(Machine& m, const Value& v, const Args& args) { return chosen(m, v, args, true, false); }
Value select(Machine& m, const Value& v, const Args& args) { return chosen(m, v, args, false, true); }
Value selectattr(Machine& m, const Value& v, const Args& args) { return chosen(m, v, args, true, true); }

Value reverse(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "reverse", args, {});
  if (has_flavor(input, Flavor::kGenerator) == false && !input.is_string()) {
    Items items = m.iterate(input).items();
    std::reverse(items.begin(), items.end());
    return m.sequence(std::move(items), Flavor::kGenerator);
  }
  Items items = m.iterate(input).items();
  if (!input.is_string()) {
    std::reverse(items.begin(), items.end());
    return m.sequence(std::move(items));
  }
  std::string out;
  for (auto it = items.rbegin(); it != items.rend(); ++it) out += it->as_string();
  return m.str(std::move(out));
}

Value sort(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "sort", args, {"reverse", "case_sensitive", "attribute"});
  const Value items = m.iterate(input);
  const bool case_sensitive = b.flag(1, false);
  std::vector<Value> paths;
  if (b[2] && b[2]->is_string()) {
    for (const std::string_view path : split(b[2]->as_string(), ",", -1)) paths.push_back(m.str_of(path));
  } else {
    paths.push_back(b[2] ? *b[2] : Value::none());
  }
  Items keys;
  for (const Value& item : items.items()) {
    Items key;
    for (const Value& path : paths)
      key.push_back(folded(m, m.attribute_path(item, path, nullptr), case_sensitive));
    keys.push_back(key.size() == 1 ? key[0] : m.sequence(std::move(key)));
  }
  return picked(m, items.items(), sorted_order(m, keys, b.flag(0, false)));
}

Value sum(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "sum", args, {"attribute", "start"});
  Value total = b[1] ? *b[1] : Value::integer(0);
  if (total.is_string()) m.fail("sum: found a str to start with, expected a number");
  const Value items = m.iterate(input);
  for (const Value& item : items.items()) {
    m.burn(1);
    total =
        m.binary(Op::kAdd, total, b[0] && !b[0]->is_none() ? m.attribute_path(item, *b[0], nullptr) : item);
  }
  return total;
}

Value unique(Machine& m, const Value& input, const Args& args) {
  const Bound b(m, "unique", args, {"case_sensitive", "attribute"});
  const Value items = m.iterate(input);
  Items out;
  std::vector<size_t> plain;
  Entries seen;
  for (const Value& item : items.items()) {
    Value key = folded(m, b[1] ? m.attribute_path(item, *b[1], nullptr) : item, b.flag(0, false));
    if (key.is_undefined())
      key = m.sequence({}, Flavor::kTuple);  // undefined values are one another's equals
    if (!is_hashable(key)) m.fail(fmt::format("unique: a {} cannot be told apart", type_name(key)));
    seen.emplace_back(std::move(key), Value::integer(static_cast<int64_t>(seen.size())));
  }
  // The dict keeps each key's first place.
  Entries firsts;
  for (auto it = seen.rbegin(); it != seen.rend(); ++it) firsts.push_back(*it);
  const Value first_of = m.dict(std::move(firsts));
  for (size_t i = 0; i < seen.size(); ++i)
    if (first_of.find(seen[i].first)->as_int() == static_cast<int64_t>(i)) out.push_back(items.items()[i]);
  return m.sequence(std::move(out), Flavor::kGenerator);
}

}  // namespace hoist::text::jinja::filters
