// The bodies of the embedding and scoring routes, checked whole before anything is computed.
//
// Promises: every field is either obeyed or refused by name; every number is in range; `user` is the only
// field without effect. Sources: OpenAI API reference, embeddings; Jina and Cohere, rerank; `truncate` and
// the score and classify routes as other open servers have them.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http/encoder_engine.h"

namespace hoist::http {

struct EncoderCall {
  static constexpr int64_t kMaxInputs = 2048;

  enum class Route { kEmbeddings, kRerank, kScore, kClassify };

  std::optional<std::string> model;
  bool truncate = false;
  // kEmbeddings, kClassify: one text or list of ids each.
  std::vector<EncodeRequest> inputs;
  // kEmbeddings
  bool base64 = false;
  std::optional<int64_t> dimensions;
  // kRerank: the query against each document; kScore: pairs of equal count, one on the left standing for all.
  std::vector<std::string> left, right;
  int64_t top_n = kMaxInputs;
  bool return_documents = false;
};

// Throws ApiError(400) with the field in `param`.
EncoderCall parse_encoder_call(EncoderCall::Route route, std::string_view body, size_t max_bytes);

}  // namespace hoist::http
