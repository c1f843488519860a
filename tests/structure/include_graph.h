// The include table (docs/layers.txt) and the includes of a source tree: what the structure tests ask about.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

namespace hoist::structure {

struct LayerTable {
  std::vector<std::string> order;                          // layers, lowest first
  std::map<std::string, std::vector<std::string>> direct;  // layer -> folders and single headers it names
  std::map<std::string, std::vector<std::string>>
      never;  // layer -> banned headers ("a/b.h") and folders ("a/")
};

// Parses the table. Problems (unknown layer, a layer named before its line: a cycle; a line of no known form)
// are appended to `problems`, each led by the line's number.
LayerTable parse_layers(const std::string& text, std::vector<std::string>* problems);

// Everything `layer` may include: folders ("base") and single headers ("kernels/kernel.h"), itself included.
std::set<std::string> allowed_includes(const LayerTable& table, const std::string& layer);

// The quoted includes of one source text, in order; commented-out lines do not count.
std::vector<std::string> quoted_includes(const std::string& text);

// The system includes (<...>) of one source text, in order.
std::vector<std::string> system_includes(const std::string& text);

// `sources` maps a path relative to src/ ("ir/graph.h") to its text. Returns one line per broken rule: an
// include that the table does not allow, a banned header reached directly or through others (with the way it
// is reached), an include that names no file, and files outside every layer.
std::vector<std::string> check_includes(const LayerTable& table,
                                        const std::map<std::string, std::string>& sources);

// Headers that include each other in a circle, one line per circle found.
std::vector<std::string> check_header_cycles(const std::map<std::string, std::string>& sources);

}  // namespace hoist::structure
