// hoist serve, for a folder that holds an encoder: embeddings, reranking, classes.
#pragma once

#include <string>

#include "http/server.h"

namespace hoist::cli {

struct EncoderServeFlags {
  std::string model, name;
  int threads = 0;
  int64_t batch_tokens = 1024, max_queue = 8192;
  bool exact = false;
};

void serve_encoder(const EncoderServeFlags& flags, const http::ServerOptions& server_options);

}  // namespace hoist::cli
