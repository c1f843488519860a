// Python's string operations on UTF-8: positions and widths count code points.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hoist::text::jinja {

// Length in bytes of the whitespace character at `text[at]`; 0: another character. str.isspace's idea of it.
size_t space_length(std::string_view text, size_t at);
std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);
// The same for a set of characters instead of whitespace.
std::string_view strip_left(std::string_view text, std::string_view characters);
std::string_view strip_right(std::string_view text, std::string_view characters);

size_t count_chars(std::string_view text);
// Byte offset of the character number `index`; the text's size beyond its end.
size_t byte_offset(std::string_view text, size_t index);

std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);
std::string title(std::string_view text);         // str.title: a word is a run of letters
std::string title_filter(std::string_view text);  // Jinja's: a word ends at space, -, (, {, [ or <
std::string swapcase(std::string_view text);

// str.split and str.rsplit; no separator: runs of whitespace. `limit` < 0: no limit.
std::vector<std::string_view> split(std::string_view text, std::optional<std::string_view> separator,
                                    int64_t limit);
std::vector<std::string_view> split_right(std::string_view text, std::optional<std::string_view> separator,
                                          int64_t limit);
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// How often `part` is in `text` without overlaps; an empty one stands between all characters.
size_t count_parts(std::string_view text, std::string_view part);

enum class CharTest { kAlpha, kDigit, kDecimal, kAlnum, kSpace, kUpper, kLower, kTitle, kAscii, kIdentifier };
bool all_chars(std::string_view text, CharTest test);  // str.isalpha and its siblings

// The JSON string `text` is, quoted; other than ASCII as \u escapes when `ascii`.
void append_json_string(std::string& out, std::string_view text, bool ascii);
// repr(text)
void append_repr(std::string& out, std::string_view text);
// repr of a float: the shortest digits that read back the same.
std::string float_text(double x);
// int(text) and float(text): whitespace around, underscores between digits.
std::optional<int64_t> parse_int(std::string_view text, int base);
std::optional<double> parse_float(std::string_view text);

// HTML's five characters as entities, markupsafe's choice of them.
std::string escape_html(std::string_view text);

}  // namespace hoist::text::jinja
