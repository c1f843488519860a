// The frame of every report page: head, style, title and script around what it shows.
#pragma once

#include <string>
#include <string_view>

namespace hoist::report {

// `title` is plain text; `body` is HTML and goes inside <main>. The page fetches nothing and sends nothing.
std::string page(std::string_view title, std::string_view body);

}  // namespace hoist::report
