#include "report/text.h"

#include <fmt/format.h>

#include <cmath>

namespace hoist::report {

std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default:
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7F)
          out += "\xEF\xBF\xBD";
        else
          out += c;
    }
  }
  return out;
}

std::string facts_section(std::string_view heading,
                          const std::vector<std::pair<std::string, std::string>>& facts) {
  if (facts.empty()) return "";
  std::string html = "<section aria-labelledby=\"run\"><h2 id=\"run\">";
  html += heading;
  html += "</h2>\n<dl class=\"facts\">\n";
  for (const auto& [name, text] : facts)
    html += "<div><dt>" + escape(name) + "</dt><dd>" + escape(text) + "</dd></div>\n";
  return html + "</dl></section>\n";
}

std::string grouped(int64_t count) {
  std::string digits = std::to_string(count);
  const size_t first = count < 0 ? 1 : 0;
  for (size_t i = digits.size(); i > first + 3;) digits.insert(i -= 3, 1, ',');
  return digits;
}

std::string trim_exponent(std::string number) {
  const size_t e = number.find('e');
  if (e == std::string::npos) return number;
  std::string mantissa = number.substr(0, e);
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.back() == '.') mantissa.pop_back();
  }
  const int exponent = std::stoi(number.substr(e + 1));
  return fmt::format("{}e{}", mantissa, exponent);
}

std::string value(double v) {
  const double size = std::abs(v);
  if (!std::isfinite(v)) return "\xE2\x80\x93";
  if (v == 0) return "0";
  if (size < 0.01 || size >= 1e15) return trim_exponent(fmt::format("{:.3e}", v));
  if (size < 0.1) return fmt::format("{:.4g}", v);
  if (size < 10) return fmt::format("{:.4f}", v);
  if (size < 100) return fmt::format("{:.3f}", v);
  if (size < 1000) return fmt::format("{:.1f}", v);
  return grouped(std::llround(v));
}

std::string duration(double seconds) {
  if (!(seconds >= 0 && seconds < 1e12)) return "\xE2\x80\x93";
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const int64_t whole = std::llround(seconds);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", grouped(whole / 3600), whole % 3600 / 60);
}

std::string clock(double seconds) {
  if (!(seconds >= 0 && seconds < 1e12)) return "\xE2\x80\x93";
  const int64_t whole = std::llround(seconds);
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole % 3600 / 60, whole % 60);
}

}  // namespace hoist::report
