// Between the metadata of GGUF files (io) and vocabularies (text): the keys tokenizer.ggml.*.
#pragma once

#include "io/gguf.h"
#include "text/gguf_vocab.h"

namespace hoist::decode {

// Throws Error naming file and key.
text::GgufVocab read_gguf_vocab(const io::GgufMetadata& metadata);
void write_gguf_vocab(const text::GgufVocab& vocab, io::GgufMetadata& metadata);

}  // namespace hoist::decode
