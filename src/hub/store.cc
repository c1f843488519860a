#include "hub/store.h"

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "io/files.h"
#include "io/json.h"
#include "io/json_value.h"

namespace hoist::hub {

namespace {

constexpr const char* kRecord = ".hoist-pull.json";

bool is_name(std::string_view part) {
  if (part.empty() || part.size() > 96 || part[0] == '.') return false;
  return std::all_of(part.begin(), part.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '-';
  });
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

std::string store_folder() {
  if (const std::string own = environment("HOIST_MODELS"); !own.empty()) return own;
  if (const std::string data = environment("XDG_DATA_HOME"); !data.empty())
    return io::join_path(data, "hoist/models");
  const std::string home = environment("HOME");
  if (home.empty()) throw_invalid("HOIST_MODELS: found neither it nor HOME, expected a folder for models");
  return io::join_path(home, ".local/share/hoist/models");
}

void check_model_name(const std::string& name, const std::string& source) {
  const size_t slash = name.find('/');
  if (slash == name.npos || !is_name(std::string_view(name).substr(0, slash)) ||
      !is_name(std::string_view(name).substr(slash + 1)))
    throw_invalid(source + ": found '" + name.substr(0, 200) +
                  "', expected organisation/name of letters, digits, '.', '_' and '-'");
}

void check_relative_path(const std::string& path, const std::string& source) {
  if (path.size() > 1024)
    throw_corrupt(source + ": found a path of " + std::to_string(path.size()) + " bytes");
  for (size_t at = 0; at <= path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    io::check_file_name(path.substr(at, slash - at), source);
    at = slash + 1;
  }
}

void write_record(const std::string& folder, const PullRecord& r) {
  io::JsonValue files = io::JsonValue::array();
  for (const PulledFile& f : r.files)
    files.push_back({{"path", f.path}, {"bytes", f.bytes}, {"sha256", f.sha256}, {"sha1", f.sha1}});
  io::JsonValue out;
  out["name"] = r.name;
  out["revision"] = r.revision;
  out["endpoint"] = r.endpoint;
  out["complete"] = r.complete;
  out["files"] = std::move(files);
  io::atomic_write(io::join_path(folder, kRecord), out.dump(1) + "\n");
}

PullRecord read_record(const std::string& folder) {
  const std::string path = io::join_path(folder, kRecord);
  const io::JsonDocument document = io::JsonDocument::parse(io::read_file(path, 16 << 20), path);
  const io::Json root = document.root();
  PullRecord r;
  r.name = root.get_string("name");
  r.revision = root.get_string("revision");
  r.endpoint = root.get_string("endpoint");
  r.complete = root.get_bool("complete");
  check_model_name(r.name, path);
  for (const io::Json f : root.at("files").elements()) {
    PulledFile file;
    file.path = f.get_string("path");
    check_relative_path(file.path, path);
    file.bytes = f.get_int("bytes", 0, int64_t{1} << 50);
    file.sha256 = f.get_string("sha256");
    file.sha1 = f.get_string("sha1");
    r.files.push_back(std::move(file));
  }
  return r;
}

std::vector<StoredModel> stored_models(const std::string& store) {
  std::vector<StoredModel> out;
  if (!io::is_directory(store)) return out;
  for (const std::string& org : io::list_dir(store)) {
    const std::string outer = io::join_path(store, org);
    if (!is_name(org) || !io::is_directory(outer)) continue;
    for (const std::string& name : io::list_dir(outer)) {
      StoredModel m;
      m.name = org + "/" + name;
      m.folder = io::join_path(outer, name);
      if (!is_name(name) || !io::path_exists(io::join_path(m.folder, kRecord))) continue;
      try {
        const PullRecord r = read_record(m.folder);
        m.revision = r.revision;
        m.complete = r.complete;
        for (const PulledFile& f : r.files) {
          m.expected += f.bytes;
          const std::string path = io::join_path(m.folder, f.path);
          m.bytes += std::max<int64_t>(0, std::max(io::file_size(path), io::file_size(path + ".part")));
        }
      } catch (const Error&) {
        m.complete = false;
      }
      out.push_back(std::move(m));
    }
  }
  return out;
}

StoredModel find_model(const std::string& store, const std::string& name) {
  check_model_name(name, "model");
  std::string known;
  for (const StoredModel& m : stored_models(store)) {
    if (m.name == name) return m;
    known += (known.empty() ? "" : ", ") + m.name;
  }
  throw_not_found("model " + name + ": found none of that name in " + store +
                  (known.empty() ? ", which is empty" : ", only " + known));
}

void remove_model(const std::string& store, const std::string& name) {
  const StoredModel m = find_model(store, name);
  io::DirLock lock(m.folder);
  io::remove_tree(m.folder);
}

std::string resolve_model(const std::string& given) {
  if (io::path_exists(given)) return given;
  try {
    check_model_name(given, "model");
  } catch (const Error&) {
    return given;  // a path that is not there: whoever opens it says so
  }
  const std::string store = store_folder(), folder = io::join_path(store, given);
  if (!io::path_exists(io::join_path(folder, kRecord)))
    throw_not_found(given + ": found no such path, and no model of that name in " + store + "; `hoist pull " +
                    given + "` gets one");
  const PullRecord r = read_record(folder);
  if (!r.complete)
    throw Error(ErrorCode::kUnavailable,
                given + ": its download has not ended; `hoist pull " + given + "` continues it");
  std::string gguf;
  for (const PulledFile& f : r.files) {
    if (f.path == "config.json") return folder;
    if (f.path.ends_with(".gguf") && (gguf.empty() || f.path < gguf)) gguf = f.path;
  }
  return gguf.empty() ? folder : io::join_path(folder, gguf);
}

}  // namespace hoist::hub
