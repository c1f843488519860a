// See page.h.
#include "http/page.h"

#include "http/page_data.h"

namespace hoist::http {
namespace {

const std::vector<Header>& page_headers() {
  static const std::vector<Header> headers = {
      {"Content-Security-Policy",
       "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
       "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"},
      {"Cache-Control", "no-cache"},
  };
  return headers;
}

void add_file(Router& router, const char* path, const char* type, std::string_view content) {
  router.add("GET", path, [type, content](const Request&, const ExchangePtr& exchange) {
    Response response;
    response.content_type = type;
    response.headers = page_headers();
    response.body = content;
    exchange->respond(std::move(response));
  });
}

}  // namespace

void add_page_routes(Router& router) {
  add_file(router, "/", "text/html; charset=utf-8", page_data::kIndexHtml);
  add_file(router, "/style.css", "text/css; charset=utf-8", page_data::kStyleCss);
  add_file(router, "/theme.js", "text/javascript; charset=utf-8", page_data::kThemeJs);
  for (auto [path, content] :
       {std::pair{"/common.js", page_data::kCommonJs}, std::pair{"/markdown.js", page_data::kMarkdownJs},
        std::pair{"/text.js", page_data::kTextJs}, std::pair{"/chat.js", page_data::kChatJs},
        std::pair{"/server.js", page_data::kServerJs}})
    add_file(router, path, "text/javascript; charset=utf-8", content);
}

}  // namespace hoist::http
