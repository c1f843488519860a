# Writes the report's style sheet and script as C++ string constants.
#   cmake -DOUT=assets.cc -DDIR=src/report/page -P embed.cmake
set(text "// Generated from src/report/page by embed.cmake.\n#include \"report/assets.h\"\n\n")
string(APPEND text "namespace hoist::report::assets {\n")
foreach(pair "kReportCss=report.css" "kReportJs=report.js")
  string(REGEX MATCH "^([^=]+)=(.+)$" unused "${pair}")
  set(name ${CMAKE_MATCH_1})
  file(READ "${DIR}/${CMAKE_MATCH_2}" content)
  # They are written between tags of one HTML file, and stand in a raw string on the way there.
  if(content MATCHES "\\)page\"" OR content MATCHES "</" OR content MATCHES "<!--")
    message(FATAL_ERROR "${CMAKE_MATCH_2} contains \")page\\\"\", \"</\" or \"<!--\"")
  endif()
  string(APPEND text "extern const std::string_view ${name} = R\"page(${content})page\";\n")
endforeach()
string(APPEND text "}  // namespace hoist::report::assets\n")
file(WRITE "${OUT}" "${text}")
