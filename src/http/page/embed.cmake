# Writes the page's files as C++ string constants.
#   cmake -DOUT=page_data.cc -DDIR=src/http/page -P embed.cmake
set(text "// Generated from src/http/page by embed.cmake.\n#include \"http/page_data.h\"\n\n")
string(APPEND text "namespace hoist::http::page_data {\n")
foreach(pair "kIndexHtml=index.html" "kStyleCss=style.css" "kThemeJs=theme.js" "kCommonJs=common.js"
             "kMarkdownJs=markdown.js" "kTextJs=text.js" "kChatJs=chat.js" "kServerJs=server.js")
  string(REGEX MATCH "^([^=]+)=(.+)$" unused "${pair}")
  set(name ${CMAKE_MATCH_1})
  file(READ "${DIR}/${CMAKE_MATCH_2}" content)
  if(content MATCHES "\\)page\"")
    message(FATAL_ERROR "${CMAKE_MATCH_2} contains the raw string delimiter")
  endif()
  string(APPEND text "extern const std::string_view ${name} = R\"page(${content})page\";\n")
endforeach()
string(APPEND text "}  // namespace hoist::http::page_data\n")
file(WRITE "${OUT}" "${text}")
