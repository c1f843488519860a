// Any text as the record of a pull, as a hub's list of a repository's files, and as a pattern with a name.
// Refusals are Errors; no accepted path leaves the model's folder, an accepted record is written and read
// back the same, and what is chosen are files of the list.
//
// The network is replaced: every address answers with the input, in two pages that meet at its first zero
// byte.
//
// Links: io
#include <set>

#include "base/check.h"
#include "hub/pull.cc"
#include "hub/store.cc"
#include "scratch_folder.h"

using namespace hoist;
using namespace hoist::hub;

namespace {

std::string_view page, next_page;

}  // namespace

namespace hoist::hub {

struct HttpGet::Handle {};
HttpGet::HttpGet(HttpOptions options) : options_(std::move(options)) {}
HttpGet::~HttpGet() = default;
HttpGet::Text HttpGet::text(const std::string& url, size_t) {
  if (url == "fuzz/next") return {std::string(next_page), ""};
  return {std::string(page), next_page.empty() ? "" : "fuzz/next"};
}
void HttpGet::file(const std::string&, const std::string&, int64_t, const std::function<bool(int64_t)>&) {}
std::string encode_path(const std::string& path) { return path; }
std::string sha256_file(const std::string&) { return ""; }
std::string git_blob_sha1_file(const std::string&) { return ""; }

}  // namespace hoist::hub

namespace {

void check_path(const std::string& path) {
  HOIST_CHECK(!path.empty() && path[0] != '/' && path.find('\0') == path.npos, "a path from the root");
  for (const char* way : {"/../", "/./", "//"})
    HOIST_CHECK(("/" + path + "/").find(way) == std::string::npos, "a path that leaves the folder");
}

std::string record_text() {
  return io::read_file(io::join_path(scratch_folder(), ".hoist-pull.json"), 16 << 20);
}

void check_choice(const std::vector<PulledFile>& files, const std::vector<std::string>& patterns) {
  try {
    std::set<std::string> listed;
    for (const PulledFile& f : files) listed.insert(f.path);
    const std::vector<PulledFile> choice = choose_files(files, patterns, "org/name");
    HOIST_CHECK(!choice.empty() && choice.size() <= files.size(), "a choice of nothing");
    for (const PulledFile& f : choice) HOIST_CHECK(listed.contains(f.path), "a file that is not listed");
  } catch (const Error& error) {
    HOIST_CHECK(std::string_view(error.what()).starts_with("org/name: "), "a refusal names its source");
  }
}

void check_record(std::string_view text) {
  write_scratch(".hoist-pull.json", text);
  PullRecord record;
  try {
    record = read_record(scratch_folder());
  } catch (const Error& error) {
    HOIST_CHECK(std::string_view(error.what()).starts_with(scratch_folder()), "a refusal names its source");
    return;
  }
  for (const PulledFile& f : record.files) check_path(f.path);
  write_record(scratch_folder(), record);
  const std::string written = record_text();
  write_record(scratch_folder(), read_record(scratch_folder()));
  HOIST_CHECK(record_text() == written, "a record does not read back");
  check_choice(record.files, {});
  check_choice(record.files, {record.revision, "*" + record.endpoint});
}

void check_list(std::string_view text) {
  const size_t zero = text.find('\0');
  page = text.substr(0, zero);
  next_page = zero == text.npos ? std::string_view() : text.substr(zero + 1);
  std::vector<PulledFile> files;
  try {
    HttpGet http;
    files = list_files(http, "fuzz", "org/name", "main");
  } catch (const Error& error) {
    HOIST_CHECK(std::string_view(error.what()).starts_with("fuzz/"), "a refusal names its source");
    return;
  }
  for (const PulledFile& f : files) {
    check_path(f.path);
    HOIST_CHECK(f.sha256.size() == 64 || f.sha1.size() == 40, "a file without a digest");
  }
  check_choice(files, {});
}

// The plain definition, for short texts.
bool matches_plainly(std::string_view pattern, std::string_view name) {
  if (pattern.empty()) return name.empty();
  if (pattern[0] == '*')
    return matches_plainly(pattern.substr(1), name) ||
           (!name.empty() && matches_plainly(pattern, name.substr(1)));
  return !name.empty() && (pattern[0] == '?' || pattern[0] == name[0]) &&
         matches_plainly(pattern.substr(1), name.substr(1));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_record(text);
  check_list(text);
  const size_t line = text.find('\n');
  if (line != text.npos && size < 20)
    HOIST_CHECK(matches(text.substr(0, line), text.substr(line + 1)) ==
                    matches_plainly(text.substr(0, line), text.substr(line + 1)),
                "a pattern");
  return 0;
}
