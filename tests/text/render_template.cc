// Reference harness: reads one JSON object per line - {"template": text, "variables": {...}, "now": seconds}
// - and prints {"text": ..., "generated": [[begin, end], ...]} or {"error": message} per line. With --seconds
// it renders each line's template for that long and prints {"micros": per render} instead.
// scripts/make_jinja_fixtures.py and scripts/check_chat_templates.py drive it.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "text/jinja.h"

using hoist::text::jinja::RenderOptions;
using hoist::text::jinja::Template;
using hoist::text::jinja::Value;

int main(int argc, char** argv) {
  const double seconds = argc == 3 && std::string_view(argv[1]) == "--seconds" ? std::atof(argv[2]) : 0;
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    nlohmann::ordered_json out;
    try {
      const auto request = nlohmann::ordered_json::parse(line);
      RenderOptions options;
      options.now_unix_seconds = request.value("now", int64_t{0});
      const auto parsed = Template::parse(request.at("template").get<std::string>(), "template");
      const Value variables = Value::from_json(request.at("variables").dump(), "variables");
      if (seconds > 0) {
        using Clock = std::chrono::steady_clock;
        const auto start = Clock::now();
        int64_t count = 0;
        double spent = 0;
        for (; spent < seconds; spent = std::chrono::duration<double>(Clock::now() - start).count(), ++count)
          (void)parsed.render(variables, options);
        out = {{"micros", spent / static_cast<double>(count) * 1e6}};
      } else {
        const auto result = parsed.render(variables, options);
        out = {{"text", result.text}, {"generated", result.generated}};
      }
    } catch (const hoist::Error& error) {
      out = {{"error", error.what()}};
    }
    std::cout << out.dump() << '\n';
  }
}
