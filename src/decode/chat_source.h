// Where a model keeps its chat template: chat_template.jinja and additional_chat_templates/ beside
// tokenizer_config.json, that file itself, or tokenizer.chat_template of a GGUF file.
#pragma once

#include <optional>
#include <string>

#include "decode/model.h"
#include "text/chat_template.h"

namespace hoist::decode {

struct ChatSource {
  std::optional<text::ChatTemplate> chat;
  std::string problem;  // why there is none, or why the one that is there cannot be used
};

// Never throws for what the files say: a model whose template is broken still completes texts.
ChatSource load_chat_template(const Model& model);

}  // namespace hoist::decode
