#include "data/corpus.h"

#include <fnmatch.h>
#include <sys/stat.h>
#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/rng.h"
#include "io/files.h"
#include "io/json.h"

namespace hoist::data {

namespace {

constexpr int kMaxFolderDepth = 64;
constexpr size_t kMaxFileBytes = size_t{1} << 31;

bool has_wildcard(std::string_view s) { return s.find_first_of("*?[") != std::string_view::npos; }

// Does `path` match `pattern`, component by component? ** matches any number of folders.
bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& path) {
  // Iterative with one restart point, as for '*' in a string: the last ** seen.
  size_t p = 0, s = 0, star = std::string::npos, mark = 0;
  while (s < path.size()) {
    if (p < pattern.size() && pattern[p] == "**") {
      star = p++;
      mark = s;
    } else if (p < pattern.size() && fnmatch(pattern[p].c_str(), path[s].c_str(), FNM_PERIOD) == 0) {
      ++p;
      ++s;
    } else if (star != std::string::npos) {
      p = star + 1;
      s = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == "**") ++p;
  return p == pattern.size();
}

std::vector<std::string> split_path(std::string_view text) {
  std::vector<std::string> out;
  while (!text.empty()) {
    size_t slash = text.find('/');
    if (slash != 0) out.emplace_back(text.substr(0, slash));
    text = slash == std::string_view::npos ? "" : text.substr(slash + 1);
  }
  return out;
}

void walk(const std::string& root, const std::vector<std::string>& pattern, std::vector<std::string>& out) {
  struct Folder {
    std::string path;
    std::vector<std::string> parts;
  };
  std::vector<Folder> todo{{root, {}}};
  while (!todo.empty()) {
    Folder folder = std::move(todo.back());
    todo.pop_back();
    for (const std::string& name : io::list_dir(folder.path.empty() ? "." : folder.path)) {
      if (name.starts_with(".")) continue;
      std::string path = folder.path.empty() ? name : io::join_path(folder.path, name);
      struct stat st;
      if (lstat(path.c_str(), &st) != 0) continue;  // gone meanwhile
      std::vector<std::string> parts = folder.parts;
      parts.push_back(name);
      if (S_ISDIR(st.st_mode)) {  // links to folders are not followed: no cycles
        if (parts.size() < kMaxFolderDepth) todo.push_back({std::move(path), std::move(parts)});
      } else if (S_ISREG(st.st_mode) && matches(pattern, parts)) {
        out.push_back(std::move(path));
      }
    }
  }
}

bool is_utf8(std::string_view s) {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(s.data());
  utf8proc_ssize_t left = static_cast<utf8proc_ssize_t>(s.size());
  while (left > 0) {
    utf8proc_int32_t c;
    utf8proc_ssize_t n = *at < 0x80 ? 1 : utf8proc_iterate(at, left, &c);
    if (n <= 0) return false;
    at += n;
    left -= n;
  }
  return true;
}

void read_jsonl(const std::string& path, const std::string& text, const std::string& field,
                std::vector<std::string>& out) {
  size_t line = 0, at = 0;
  while (at < text.size()) {
    size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    std::string_view row(text.data() + at, end - at);
    at = end + 1;
    ++line;
    while (!row.empty() && (row.back() == '\r' || row.back() == ' ')) row.remove_suffix(1);
    if (line == 1 && row.starts_with("\xef\xbb\xbf")) row.remove_prefix(3);
    if (row.empty()) continue;
    io::JsonDocument doc = io::JsonDocument::parse(row, path + ":" + std::to_string(line));
    out.emplace_back(doc.root().get_string(field));
  }
}

// A deterministic order that depends on the seed and the number of documents alone.
void shuffle(std::vector<std::string>& documents, uint64_t seed) {
  CounterRng rng(seed, stable_hash("documents"));
  for (size_t i = documents.size(); i > 1; --i) std::swap(documents[i - 1], documents[rng.below(i, i)]);
}

// Moves the last `share` of all bytes into the second list, cutting one document at a character's edge.
void hold_out(std::vector<std::string>& documents, double share, std::vector<std::string>& held) {
  int64_t total = 0;
  for (const std::string& d : documents) total += static_cast<int64_t>(d.size());
  int64_t keep = static_cast<int64_t>(static_cast<double>(total) * (1.0 - share));
  size_t i = 0;
  while (i < documents.size() && keep >= static_cast<int64_t>(documents[i].size()))
    keep -= static_cast<int64_t>(documents[i++].size());
  if (i == documents.size()) return;
  std::string& cut = documents[i];
  size_t at = static_cast<size_t>(keep);
  while (at > 0 && (static_cast<unsigned char>(cut[at]) & 0xC0) == 0x80) --at;
  std::string tail = cut.substr(at);
  cut.resize(at);
  if (!tail.empty()) held.push_back(std::move(tail));
  for (size_t k = i + 1; k < documents.size(); ++k) held.push_back(std::move(documents[k]));
  documents.resize(at > 0 ? i + 1 : i);
}

}  // namespace

std::vector<std::string> expand_glob(const std::string& pattern) {
  std::vector<std::string> out;
  if (!has_wildcard(pattern)) {
    if (io::is_directory(pattern))
      walk(pattern, {"**", "*"}, out);
    else if (io::path_exists(pattern))
      out.push_back(pattern);
    else
      throw_not_found(pattern + ": found no such file or folder");
  } else {
    std::vector<std::string> parts = split_path(pattern);
    std::string root = pattern.starts_with("/") ? "/" : "";
    size_t fixed = 0;
    while (fixed < parts.size() && !has_wildcard(parts[fixed])) {
      root = root.empty() ? parts[fixed] : io::join_path(root, parts[fixed]);
      ++fixed;
    }
    if (!root.empty() && !io::is_directory(root)) throw_not_found(pattern + ": found no folder " + root);
    walk(root, {parts.begin() + static_cast<std::ptrdiff_t>(fixed), parts.end()}, out);
  }
  std::sort(out.begin(), out.end());
  return out;
}

Documents read_documents(const CorpusOptions& options) {
  if (options.paths.empty()) throw_invalid("data.paths: found none, expected a file, a folder or a glob");
  if (!(options.validation >= 0 && options.validation <= 0.5))
    throw_invalid("data.validation: found " + std::to_string(options.validation) + ", expected 0 to 0.5");
  Documents out;
  for (const std::string& pattern : options.paths) {
    for (const std::string& path : expand_glob(pattern)) {
      if (out.report.bytes >= options.max_bytes) {
        out.report.truncated = true;
        break;
      }
      std::string text = io::read_file(path, kMaxFileBytes);
      if (text.empty() || std::memchr(text.data(), 0, text.size()) || !is_utf8(text)) {
        ++out.report.skipped_files;
        continue;
      }
      ++out.report.files;
      out.report.bytes += static_cast<int64_t>(text.size());
      if (path.ends_with(".jsonl"))
        read_jsonl(path, text, options.field, out.train);
      else
        out.train.push_back(std::move(text));
    }
  }
  if (out.train.empty())
    throw_invalid("data.paths: found no text in '" + options.paths[0] + "'" +
                  (out.report.skipped_files ? " (" + std::to_string(out.report.skipped_files) +
                                                  " files were empty, binary or not UTF-8)"
                                            : ""));
  out.report.documents = static_cast<int64_t>(out.train.size());
  if (out.train.size() > 1) shuffle(out.train, options.shuffle_seed);
  if (options.validation > 0) hold_out(out.train, options.validation, out.validation);
  return out;
}

TokenArray tokenize(const std::vector<std::string>& documents, const text::Tokenizer& tokenizer,
                    int64_t vocab, int32_t end_of_text,
                    const std::function<void(int64_t, int64_t)>& progress) {
  TokenArray tokens(vocab);
  int64_t total = 0, done = 0, reported = 0;
  for (const std::string& d : documents) total += static_cast<int64_t>(d.size());
  for (const std::string& d : documents) {
    tokens.append(tokenizer.encode(d, false));
    if (end_of_text >= 0) tokens.append(std::span<const int32_t>(&end_of_text, 1));
    done += static_cast<int64_t>(d.size());
    if (progress && done - reported >= (1 << 20)) progress(reported = done, total);
  }
  tokens.shrink();
  if (progress) progress(total, total);
  return tokens;
}

}  // namespace hoist::data
