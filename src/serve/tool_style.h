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

// Calls of these tools, one or several, and nothing else. `style` becomes the one that reads them.
text::TaggedValues forced_calls(const std::vector<http::Tool>& tools, bool several, ToolStyle& style);

}  // namespace hoist::serve
