// See include_graph.h. Plain text handling: the sources are ours, so no preprocessor is needed.
#include "structure/include_graph.h"

#include <algorithm>
#include <deque>
#include <sstream>

namespace hoist::structure {
namespace {

std::string folder_of(const std::string& path) { return path.substr(0, path.find('/')); }

bool is_header_name(const std::string& name) { return name.find('/') != std::string::npos; }

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string w; in >> w;) words.push_back(w);
  return words;
}

std::vector<std::string> includes_between(const std::string& text, char open, char close) {
  std::vector<std::string> found;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    size_t at = line.find_first_not_of(" \t");
    if (at == std::string::npos || line[at] != '#') continue;
    at = line.find_first_not_of(" \t", at + 1);
    if (at == std::string::npos || line.compare(at, 7, "include") != 0) continue;
    at = line.find_first_not_of(" \t", at + 7);
    if (at == std::string::npos || line[at] != open) continue;
    size_t end = line.find(close, at + 1);
    if (end != std::string::npos) found.push_back(line.substr(at + 1, end - at - 1));
  }
  return found;
}

bool matches_ban(const std::string& path, const std::string& ban) {
  return ban.back() == '/' ? path.compare(0, ban.size(), ban) == 0 : path == ban;
}

using Includes = std::map<std::string, std::vector<std::string>>;

Includes edges_of(const std::map<std::string, std::string>& sources) {
  Includes edges;
  for (const auto& [path, text] : sources) edges[path] = quoted_includes(text);
  return edges;
}

// Walks everything `file` reaches and reports each banned header with the way it was reached.
void check_bans(const std::string& file, const std::vector<std::string>& bans, const Includes& edges,
                std::vector<std::string>* broken) {
  std::map<std::string, std::string> way = {{file, file}};
  std::deque<std::string> queue = {file};
  while (!queue.empty()) {
    std::string at = queue.front();
    queue.pop_front();
    auto found = edges.find(at);
    if (found == edges.end()) continue;
    for (const std::string& next : found->second) {
      if (!way.emplace(next, way[at] + " -> " + next).second) continue;
      for (const std::string& ban : bans)
        if (matches_ban(next, ban))
          broken->push_back(way[next] + ": " + folder_of(file) + " never sees " + ban);
      queue.push_back(next);
    }
  }
}

}  // namespace

LayerTable parse_layers(const std::string& text, std::vector<std::string>* problems) {
  LayerTable table;
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    auto problem = [&](const std::string& what) {
      problems->push_back("line " + std::to_string(number) + ": " + what);
    };
    line = line.substr(0, line.find('#'));
    std::vector<std::string> words = words_of(line);
    if (words.empty()) continue;
    if (words[0].back() != ':' || words[0].size() < 2) {
      problem("expected \"layer: ...\" or \"never: ...\", found \"" + words[0] + "\"");
      continue;
    }
    std::string name = words[0].substr(0, words[0].size() - 1);
    if (name == "never") {
      if (words.size() < 3 || !table.direct.count(words[1])) {
        problem("expected \"never: layer path ...\" with a layer named above");
        continue;
      }
      auto& bans = table.never[words[1]];
      bans.insert(bans.end(), words.begin() + 2, words.end());
      continue;
    }
    std::vector<std::string> deps(words.begin() + 1, words.end());
    for (const std::string& dep : deps)
      if (!table.direct.count(folder_of(dep)))
        problem(name + " names " + dep + ", which is not a layer above it (unknown, or a cycle)");
    if (!table.direct.emplace(name, deps).second) problem(name + " is listed twice");
    table.order.push_back(name);
  }
  return table;
}

std::set<std::string> allowed_includes(const LayerTable& table, const std::string& layer) {
  std::set<std::string> allowed = {layer};
  std::deque<std::string> queue = {layer};
  while (!queue.empty()) {
    auto found = table.direct.find(queue.front());
    queue.pop_front();
    if (found == table.direct.end()) continue;
    for (const std::string& dep : found->second)
      if (allowed.insert(dep).second && !is_header_name(dep)) queue.push_back(dep);
  }
  return allowed;
}

std::vector<std::string> quoted_includes(const std::string& text) { return includes_between(text, '"', '"'); }

std::vector<std::string> system_includes(const std::string& text) { return includes_between(text, '<', '>'); }

std::vector<std::string> check_includes(const LayerTable& table,
                                        const std::map<std::string, std::string>& sources) {
  std::vector<std::string> broken;
  Includes edges = edges_of(sources);
  std::map<std::string, std::set<std::string>> allowed;
  for (const std::string& layer : table.order) allowed[layer] = allowed_includes(table, layer);
  for (const auto& [path, includes] : edges) {
    std::string layer = folder_of(path);
    auto row = allowed.find(layer);
    if (row == allowed.end()) {
      broken.push_back(path + ": " + layer + " is no layer of the table");
      continue;
    }
    for (const std::string& name : includes) {
      if (!edges.count(name)) {
        broken.push_back(path + ": \"" + name + "\" is no file of src/ (includes are relative to src/)");
      } else if (!row->second.count(folder_of(name)) && !row->second.count(name)) {
        broken.push_back(path + ": " + layer + " may not include " + name);
      }
    }
    auto bans = table.never.find(layer);
    if (bans != table.never.end()) check_bans(path, bans->second, edges, &broken);
  }
  return broken;
}

std::vector<std::string> check_header_cycles(const std::map<std::string, std::string>& sources) {
  // Kahn's order: whatever keeps an unmet include after everything orderly is taken away stands in or above a
  // circle.
  Includes edges = edges_of(sources);
  std::map<std::string, size_t> unmet;
  std::map<std::string, std::vector<std::string>> users;
  for (const auto& [path, includes] : edges) {
    unmet.emplace(path, 0);
    for (const std::string& name : includes) {
      if (!edges.count(name)) continue;
      ++unmet[path];
      users[name].push_back(path);
    }
  }
  std::deque<std::string> ready;
  for (const auto& [path, count] : unmet)
    if (count == 0) ready.push_back(path);
  while (!ready.empty()) {
    std::string path = ready.front();
    ready.pop_front();
    for (const std::string& user : users[path])
      if (--unmet[user] == 0) ready.push_back(user);
  }
  std::vector<std::string> circles;
  for (const auto& [path, count] : unmet)
    if (count != 0) circles.push_back(path + ": includes itself through other headers, or a file that does");
  return circles;
}

}  // namespace hoist::structure
