// Pulling a model from a hub that speaks Hugging Face's API: what it consists of, then its files, each
// resumed where it stopped and checked against the published digest before it takes its name.
//
// A pull that is interrupted, at any point, is continued by the next one. Files that are there and whole are
// not fetched again. One process at a time pulls into a folder.
// Source: huggingface.co/docs/hub/api (/api/models/.../revision, .../tree, /resolve).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hub/http_get.h"
#include "hub/store.h"

namespace hoist::hub {

struct PullOptions {
  std::string endpoint = "https://huggingface.co";
  std::string revision = "main";   // a branch, tag or commit
  std::string store;               // empty: store_folder()
  std::vector<std::string> files;  // names, or patterns with * and ?; empty: what Hoist reads
  bool offline = false;            // nothing is asked of the network: the model must be there, whole
  HttpOptions http;
};

struct PullProgress {
  std::string file;
  int64_t file_done = 0, file_bytes = 0;
  int64_t done = 0, bytes = 0;  // of all files
  bool checking = false;        // digests are being computed
};

// Returns the model's folder. Throws Error naming the model, the file or the address. `progress` returns
// false to stop; what is there stays.
std::string pull(const std::string& name, const PullOptions& options,
                 const std::function<bool(const PullProgress&)>& progress);

// Whether `name` matches a pattern of literal characters, * (any, also none) and ? (one). Linear space,
// quadratic time at most.
bool matches(std::string_view pattern, std::string_view name);
// Of a repository's files those that Hoist reads, or that `patterns` name. Throws Error where there is
// nothing, or where a choice is needed (several GGUF files), listing it.
std::vector<PulledFile> choose_files(const std::vector<PulledFile>& all,
                                     const std::vector<std::string>& patterns, const std::string& name);

}  // namespace hoist::hub
