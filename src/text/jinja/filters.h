// The tables of filters, tests and global functions.
#pragma once

#include <string_view>

#include "text/jinja/machine.h"

namespace hoist::text::jinja {

using FilterFn = Value (*)(Machine&, const Value& input, const Args&);
using TestFn = bool (*)(Machine&, const Value& input, const Args&);

struct FilterEntry {
  std::string_view name;
  FilterFn fn;
};
struct TestEntry {
  std::string_view name;
  TestFn fn;
};

const FilterEntry* find_filter(std::string_view name);  // null: none of that name
const TestEntry* find_test(std::string_view name);

// Filters on sequences; filters.cc has the others and the table of all.
namespace filters {
Value batch(Machine&, const Value&, const Args&);
Value dictsort(Machine&, const Value&, const Args&);
Value first(Machine&, const Value&, const Args&);
Value groupby(Machine&, const Value&, const Args&);
Value items(Machine&, const Value&, const Args&);
Value join(Machine&, const Value&, const Args&);
Value last(Machine&, const Value&, const Args&);
Value length(Machine&, const Value&, const Args&);
Value list(Machine&, const Value&, const Args&);
Value map(Machine&, const Value&, const Args&);
Value max(Machine&, const Value&, const Args&);
Value min(Machine&, const Value&, const Args&);
Value reject(Machine&, const Value&, const Args&);
Value rejectattr(Machine&, const Value&, const Args&);
Value reverse(Machine&, const Value&, const Args&);
Value select(Machine&, const Value&, const Args&);
Value selectattr(Machine&, const Value&, const Args&);
Value slice(Machine&, const Value&, const Args&);
Value sort(Machine&, const Value&, const Args&);
Value sum(Machine&, const Value&, const Args&);
Value unique(Machine&, const Value&, const Args&);
}  // namespace filters

}  // namespace hoist::text::jinja
