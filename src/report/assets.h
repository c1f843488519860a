// Style sheet and script of the report, from page/ (see page/embed.cmake).
#pragma once

#include <string_view>

namespace hoist::report::assets {

extern const std::string_view kReportCss, kReportJs;

}  // namespace hoist::report::assets
