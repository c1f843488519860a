// How a model writes tool calls, by its chat template; and the grammar that makes it write one.
#pragma once

#include <vector>

#include "http/completion_engine.h"
#include "serve/answer_parser.h"
#include "text/chat_template.h"
#include "text/grammar/grammar.h"

namespace hoist::serve {

// kObject where the template gives no sign.
ToolStyle tool_style_of(const text::ChatTemplate& chat);

// Calls of these tools, one or several, and nothing else. `style` becomes the one that reads them. `chat` is
// the template that tool_style_of() was asked about. Throws Error for parameters that the style cannot write.
text::TaggedValues forced_calls(const std::vector<http::Tool>& tools, bool several, ToolStyle& style,
                                const text::ChatTemplate& chat);

// Which parameters are strings by their schemas: XmlCall writes them as they stand.
TextParameters text_parameters(const std::vector<http::Tool>& tools);

}  // namespace hoist::serve
