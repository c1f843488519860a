// Template: a Program parsed once, and a Machine for each render.
#include "text/jinja/ast.h"
#include "text/jinja/machine.h"
#include "text/jinja/parser.h"

namespace hoist::text::jinja {

Template::Template(std::unique_ptr<const Program> program) : program_(std::move(program)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Template Template::parse(std::string_view text, std::string source) {
  auto program = std::make_unique<Program>();
  program->source = std::move(source);
  Parser(text, *program).parse_template();
  return Template(std::move(program));
}

RenderResult Template::render(const Value& variables, const RenderOptions& options) const {
  return Machine(*program_, variables, options).run();
}

bool Template::mentions(std::string_view name) const {
  for (const std::string& known : program_->names)
    if (known == name) return true;
  return false;
}

}  // namespace hoist::text::jinja
