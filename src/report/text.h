// How the report writes strings, numbers and times.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hoist::report {

// For HTML text and quoted attributes. Control characters become U+FFFD; bytes that are not UTF-8 stay, and a
// browser shows U+FFFD for them.
std::string escape(std::string_view text);

// A section of names and what they are, in this order; nothing when there are none.
std::string facts_section(std::string_view heading,
                          const std::vector<std::pair<std::string, std::string>>& facts);

std::string grouped(int64_t count);  // "12,345"
std::string value(double v);  // "1.8812", "6e-4", "12,345"; a dash for NaN. page/report.js does the same.
std::string duration(double seconds);           // "8.3 s", "3 min 12 s", "2 h 05 min"
std::string clock(double seconds);              // "0:36", "1:02:07"
std::string trim_exponent(std::string number);  // "6.000e-04" -> "6e-4"

}  // namespace hoist::report
