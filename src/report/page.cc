#include "report/page.h"

#include "report/assets.h"
#include "report/text.h"

namespace hoist::report {

std::string page(std::string_view title, std::string_view body) {
  const std::string name = escape(title);
  std::string html = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  // Nothing is fetched and nothing is sent, whatever a name in the run may hold.
  html +=
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n";
  html += "<title>" + name + "</title>\n<style>\n";
  html += assets::kReportCss;
  html += "</style>\n</head>\n<body>\n<header class=\"top\"><h1>" + name + "</h1></header>\n<main>\n";
  html += body;
  html += "</main>\n<script>\n";
  html += assets::kReportJs;
  return html + "</script>\n</body>\n</html>\n";
}

}  // namespace hoist::report
