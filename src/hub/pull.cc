#include "hub/pull.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "base/error.h"
#include "hub/digest.h"
#include "io/files.h"
#include "io/json.h"

namespace hoist::hub {

namespace {

constexpr size_t kMaxList = 32 << 20;
constexpr size_t kMaxFiles = 20000;
constexpr int64_t kMaxFile = int64_t{1} << 44;

io::JsonDocument get_json(HttpGet& http, const std::string& url, std::string* next = nullptr) {
  HttpGet::Text text = http.text(url, kMaxList);
  if (next) *next = std::move(text.next);
  return io::JsonDocument::parse(text.body, url, {kMaxList, 16, ErrorCode::kCorrupt, ErrorCode::kCorrupt});
}

bool is_hex(std::string_view text, size_t digits) {
  return text.size() == digits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

// All files of a commit.
std::vector<PulledFile> list_files(HttpGet& http, const std::string& endpoint, const std::string& name,
                                   const std::string& commit) {
  std::vector<PulledFile> out;
  std::set<std::string> seen;
  std::string url = endpoint + "/api/models/" + name + "/tree/" + commit + "?recursive=true";
  while (!url.empty()) {
    const std::string here = url;
    const io::JsonDocument document = get_json(http, here, &url);
    if (!url.empty() && !url.starts_with(endpoint + "/"))
      throw_corrupt(here + ": found a next page at " + url + ", expected it under " + endpoint);
    for (const io::Json entry : document.root().elements()) {
      if (entry.get_string("type") != "file") continue;
      PulledFile f;
      f.path = entry.get_string("path");
      check_relative_path(f.path, here);
      if (f.path.starts_with(".hoist")) continue;  // names of our own records and locks
      if (!seen.insert(f.path).second) throw_corrupt(here + ": found '" + f.path + "' twice");
      f.bytes = entry.get_int("size", 0, kMaxFile);
      if (const auto lfs = entry.find("lfs")) {
        f.sha256 = lfs->get_string("oid");
        f.bytes = lfs->get_int("size", 0, kMaxFile);
        if (!is_hex(f.sha256, 64)) lfs->at("oid").refuse("a SHA-256 in hex");
      } else {
        f.sha1 = entry.get_string("oid");
        if (!is_hex(f.sha1, 40)) entry.at("oid").refuse("a SHA-1 in hex");
      }
      out.push_back(std::move(f));
      if (out.size() > kMaxFiles)
        throw_corrupt(here + ": found more than " + std::to_string(kMaxFiles) + " files");
    }
  }
  return out;
}

bool is_whole(const std::string& path, const PulledFile& f) {
  if (io::file_size(path) != f.bytes) return false;
  return f.sha256.empty() ? git_blob_sha1_file(path) == f.sha1 : sha256_file(path) == f.sha256;
}

void check_room(const std::string& folder, int64_t bytes) {
  struct statvfs s;
  if (::statvfs(folder.c_str(), &s) != 0) return;
  const int64_t free = static_cast<int64_t>(s.f_bavail) * static_cast<int64_t>(s.f_frsize);
  if (bytes > free)
    throw Error(ErrorCode::kResourceExhausted, folder + ": found " + std::to_string(free) +
                                                   " bytes free, expected " + std::to_string(bytes) +
                                                   " for what is left to pull");
}

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "" : path.substr(0, slash);
}

}  // namespace

bool matches(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = pattern.npos, from = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != pattern.npos) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::vector<PulledFile> choose_files(const std::vector<PulledFile>& all,
                                     const std::vector<std::string>& patterns, const std::string& name) {
  // Weights in formats that others read, or a second time under another name, are left where they are.
  static const char* kRead[] = {"config.json",
                                "generation_config.json",
                                "tokenizer.json",
                                "tokenizer_config.json",
                                "special_tokens_map.json",
                                "added_tokens.json",
                                "vocab.json",
                                "merges.txt",
                                "vocab.txt",
                                "chat_template.jinja",
                                "chat_template.json",
                                "modules.json",
                                "sentence_bert_config.json",
                                "1_Pooling/config.json",
                                "adapter_config.json",
                                "adapter_model.safetensors",
                                "model*.safetensors",
                                "model.safetensors.index.json"};
  std::vector<PulledFile> out, gguf;
  std::set<std::string> unmatched(patterns.begin(), patterns.end());
  bool weights = false;
  for (const PulledFile& f : all) {
    if (!patterns.empty()) {
      bool wanted = false;
      for (const std::string& p : patterns)
        if (matches(p, f.path)) {
          wanted = true;
          unmatched.erase(p);
        }
      if (wanted) out.push_back(f);
      continue;
    }
    if (f.path.ends_with(".gguf")) gguf.push_back(f);
    for (const char* p : kRead)
      // A pattern's star stands for no folder.
      if (matches(p, f.path) && std::count(f.path.begin(), f.path.end(), '/') == (p[0] == '1')) {
        out.push_back(f);
        weights = weights || f.path.ends_with(".safetensors");
        break;
      }
  }
  auto listed = [&](const std::vector<PulledFile>& files) {
    std::string text;
    for (size_t i = 0; i < files.size() && i < 40; ++i) text += (i ? ", " : "") + files[i].path;
    return files.size() > 40 ? text + ", ..." : text;
  };
  if (!unmatched.empty())
    throw_not_found(name + ": found no file '" + *unmatched.begin() + "', only " + listed(all));
  if (!patterns.empty() || weights) return out;
  // A set of parts is one choice.
  std::set<std::string> sets;
  for (const PulledFile& f : gguf) {
    const size_t part = f.path.rfind("-of-");
    sets.insert(part != f.path.npos && part > 6 ? f.path.substr(0, part - 6) : f.path);
  }
  if (sets.size() == 1) return gguf;
  if (sets.size() > 1)
    throw_invalid(name + ": found several models, " + listed(gguf) + "; expected a choice with --file");
  throw_not_found(name + ": found neither *.safetensors nor *.gguf, only " + listed(all));
}

std::string pull(const std::string& name, const PullOptions& o,
                 const std::function<bool(const PullProgress&)>& progress) {
  check_model_name(name, "model");
  const std::string folder = io::join_path(o.store.empty() ? store_folder() : o.store, name);
  if (o.offline) {
    if (!io::path_exists(io::join_path(folder, ".hoist-pull.json")) || !read_record(folder).complete)
      throw Error(ErrorCode::kUnavailable, name + ": found it not, or not whole, in " + folder +
                                               ", and nothing is asked of the network (--offline)");
    return folder;
  }
  if (!o.endpoint.starts_with("http://") && !o.endpoint.starts_with("https://"))
    throw_invalid("--endpoint: found '" + o.endpoint + "', expected http://... or https://...");
  HttpGet http(o.http);
  const std::string at = "/" + encode_path(o.revision);
  PullRecord record;
  record.name = name;
  record.endpoint = o.endpoint;
  {
    const io::JsonDocument document = get_json(http, o.endpoint + "/api/models/" + name + "/revision" + at);
    record.revision = document.root().get_string("sha");
    if (!is_hex(record.revision, 40)) document.root().at("sha").refuse("a commit in hex");
  }
  record.files = choose_files(list_files(http, o.endpoint, name, record.revision), o.files, name);

  io::make_dirs(folder);
  const io::DirLock lock(folder);
  PullProgress p;
  int64_t left = 0;
  for (const PulledFile& f : record.files) {
    p.bytes += f.bytes;
    const std::string path = io::join_path(folder, f.path);
    if (io::file_size(path) != f.bytes) left += f.bytes - std::max<int64_t>(0, io::file_size(path + ".part"));
  }
  check_room(folder, left);
  write_record(folder, record);
  for (const PulledFile& f : record.files) {
    const std::string path = io::join_path(folder, f.path), part = path + ".part";
    p.file = f.path;
    p.file_bytes = f.bytes;
    auto report = [&](int64_t done, bool checking) {
      PullProgress now = p;
      now.file_done = done;
      now.done += done;
      now.checking = checking;
      return !progress || progress(now);
    };
    if (const std::string sub = folder_of(f.path); !sub.empty()) io::make_dirs(io::join_path(folder, sub));
    if (io::file_size(path) == f.bytes) {
      report(f.bytes, true);
      if (is_whole(path, f)) {
        p.done += f.bytes;
        continue;
      }
    }
    const std::string url =
        o.endpoint + "/" + name + "/resolve/" + record.revision + "/" + encode_path(f.path);
    // What was resumed may be of another commit: then once more, from nothing.
    for (bool again = io::file_size(part) > 0;; again = false) {
      http.file(url, part, f.bytes, [&](int64_t done) { return report(done, false); });
      report(f.bytes, true);
      if (is_whole(part, f)) break;
      io::remove_file(part);
      if (!again)
        throw_corrupt(url + ": what came is not what was announced: its digest is not " +
                      (f.sha256.empty() ? f.sha1 : f.sha256));
    }
    if (std::rename(part.c_str(), path.c_str()) != 0)
      throw Error(ErrorCode::kUnavailable, path + ": cannot be put in place");
    io::fsync_dir(folder_of(path));
    p.done += f.bytes;
  }
  record.complete = true;
  write_record(folder, record);
  return folder;
}

}  // namespace hoist::hub
