#include "passes/strategy.h"

#include <algorithm>

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include "base/error.h"

namespace hoist::passes {

int Strategy::ranks() const {
  int n = 1;
  for (const MeshDim& d : mesh) n *= d.size;
  return n;
}

int Strategy::find_mesh(Symbol name) const {
  for (size_t i = 0; i < mesh.size(); ++i)
    if (mesh[i].name == name) return static_cast<int>(i);
  return -1;
}

std::vector<int> Strategy::coordinates(int rank) const {
  std::vector<int> c(mesh.size());
  for (size_t i = mesh.size(); i-- > 0;) {
    c[i] = rank % mesh[i].size;
    rank /= mesh[i].size;
  }
  return c;
}

std::string print(const Strategy& s) {
  std::string out = "microbatches = " + std::to_string(s.microbatches) + "\n";
  out += "precision = \"" + std::string(dtype_name(s.precision)) + "\"\n";
  for (const MeshDim& d : s.mesh)
    out += "\n[[mesh]]\nname = \"" + d.name.str() + "\"\nsize = " + std::to_string(d.size) + "\n";
  for (const ShardRule& r : s.rules)
    out += "\n[[shard]]\naxis = \"" + r.axis.str() + "\"\nmesh = \"" + r.mesh.str() + "\"\nscope = \"" +
           r.scope + "\"\nrole = \"" + r.role.str() + "\"\n";
  return out;
}

namespace {

struct Reader {
  const std::string& source;

  [[noreturn]] void fail(const toml::node* node, const std::string& what) const {
    std::string where = source;
    if (node) where += ":" + std::to_string(node->source().begin.line);
    throw_invalid(where + ": " + what);
  }
  void only(const toml::table& table, std::initializer_list<std::string_view> keys) const {
    for (auto&& [key, node] : table)
      if (std::find(keys.begin(), keys.end(), key.str()) == keys.end())
        fail(&node, "unknown key '" + std::string(key.str()) + "'");
  }
  int integer(const toml::table& table, const char* key, int fallback, int low, int high) const {
    const toml::node* node = table.get(key);
    if (!node) return fallback;
    auto v = node->value_exact<int64_t>();
    if (!v || *v < low || *v > high)
      fail(node, std::string(key) + ": expected an integer in " + std::to_string(low) + ".." +
                     std::to_string(high));
    return static_cast<int>(*v);
  }
  std::string text(const toml::table& table, const char* key, const char* fallback) const {
    const toml::node* node = table.get(key);
    if (!node && fallback) return fallback;
    if (!node) fail(&table, std::string(key) + " is missing");
    auto v = node->value_exact<std::string>();
    auto odd = [](unsigned char c) { return c < 0x20 || c == 0x7f || c == '"' || c == '\\'; };
    if (!v || v->size() > 128 || std::any_of(v->begin(), v->end(), odd))
      fail(node, std::string(key) + ": expected a plain string");
    return *v;
  }
  template <class F>
  void each(const toml::table& table, const char* key, F body) const {
    const toml::node* node = table.get(key);
    if (!node) return;
    const toml::array* list = node->as_array();
    if (!list) fail(node, std::string(key) + ": expected [[" + key + "]] tables");
    for (const toml::node& item : *list) {
      if (!item.is_table()) fail(&item, std::string(key) + ": expected a table");
      body(*item.as_table());
    }
  }
};

}  // namespace

Strategy parse_strategy(std::string_view text, const std::string& source) {
  toml::table root;
  try {
    root = toml::parse(text, source);
  } catch (const toml::parse_error& e) {
    throw_invalid(source + ":" + std::to_string(e.source().begin.line) + ": " + std::string(e.description()));
  }
  Reader read{source};
  Strategy s;
  read.only(root, {"microbatches", "precision", "mesh", "shard"});
  s.microbatches = read.integer(root, "microbatches", 1, 1, 1 << 20);
  auto precision = dtype_from_name(read.text(root, "precision", "f32"));
  if (precision != DType::f32 && precision != DType::bf16)
    read.fail(root.get("precision"), "precision: expected f32 or bf16");
  s.precision = *precision;
  read.each(root, "mesh", [&](const toml::table& t) {
    read.only(t, {"name", "size"});
    MeshDim d{Symbol(read.text(t, "name", nullptr)), read.integer(t, "size", 1, 1, 1 << 20)};
    if (s.find_mesh(d.name) >= 0) read.fail(&t, "mesh dimension '" + d.name.str() + "' appears twice");
    // Shardings keep the number of a mesh dimension in a byte, and ranks are counted in an int.
    if (s.mesh.size() == 16) read.fail(&t, "mesh: expected at most 16 dimensions");
    if (int64_t{s.ranks()} * d.size > 1 << 20) read.fail(&t, "mesh: found more than 1048576 ranks in all");
    s.mesh.push_back(d);
  });
  read.each(root, "shard", [&](const toml::table& t) {
    read.only(t, {"axis", "mesh", "scope", "role"});
    ShardRule r{Symbol(read.text(t, "axis", nullptr)), Symbol(read.text(t, "mesh", nullptr)),
                read.text(t, "scope", ""), Symbol(read.text(t, "role", "any"))};
    if (s.find_mesh(r.mesh) < 0) read.fail(t.get("mesh"), "no mesh dimension named '" + r.mesh.str() + "'");
    if (r.role.name() != "any" && r.role.name() != "parameter" && r.role.name() != "activation")
      read.fail(t.get("role"), "role: expected any, parameter or activation");
    s.rules.push_back(r);
  });
  return s;
}

Strategy data_and_tensor_parallel(int data, int tensor) {
  Strategy s;
  if (data > 1) {
    s.mesh.push_back({"data", data});
    s.rules.push_back({"batch", "data", "", "any"});
  }
  if (tensor > 1) {
    s.mesh.push_back({"tensor", tensor});
    for (const char* axis : {"kv_heads", "ffn", "vocab"}) s.rules.push_back({axis, "tensor", "", "any"});
  }
  return s;
}

}  // namespace hoist::passes
