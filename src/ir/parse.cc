// Reads the text form of a graph. One line at a time, no recursion; anything unexpected is an Error with its
// line.
#include <charconv>

#include "base/error.h"
#include "ir/graph.h"

namespace hoist::ir {

namespace {

constexpr int kMaxLines = 1 << 22;
constexpr size_t kMaxName = 512;

class LineReader {
 public:
  LineReader(std::string_view line, int number) : rest_(line), number_(number) {}

  [[noreturn]] void fail(const std::string& expected) const {
    throw_invalid("graph text line " + std::to_string(number_) + ": found '" +
                  std::string(rest_.substr(0, 40)) + "', expected " + expected);
  }
  bool done() const { return rest_.empty(); }
  bool accept(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void want(std::string_view token) {
    if (!accept(token)) fail("'" + std::string(token) + "'");
  }
  ValueId value() {
    want("%");
    ValueId v = 0;
    auto r = std::from_chars(rest_.data(), rest_.data() + rest_.size(), v);
    if (r.ec != std::errc() || v < 0) fail("a value number");
    rest_.remove_prefix(static_cast<size_t>(r.ptr - rest_.data()));
    return v;
  }
  std::string quoted() {
    want("\"");
    std::string out;
    while (!rest_.empty() && rest_.front() != '"') {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '\\') {
        if (rest_.empty()) fail("an escaped character");
        c = rest_.front() == 'n' ? '\n' : rest_.front();
        rest_.remove_prefix(1);
      }
      out += c;
      if (out.size() > kMaxName) fail("a name of at most 512 bytes");
    }
    want("\"");
    return out;
  }
  std::string_view until(std::string_view stop) {
    size_t end = rest_.find_first_of(stop);
    std::string_view out = rest_.substr(0, end);
    rest_.remove_prefix(out.size());
    return out;
  }
  Type type() {
    size_t end = rest_.find(']');
    if (end == std::string_view::npos) fail("a type");
    Type t = parse_type(rest_.substr(0, end + 1));
    rest_.remove_prefix(end + 1);
    return t;
  }

 private:
  std::string_view rest_;
  int number_;
};

template <class Enum>
Enum named(LineReader& line, const char* (*name)(Enum), int count, const char* expected) {
  std::string_view word = line.until(" ");
  for (int i = 0; i < count; ++i)
    if (word == name(static_cast<Enum>(i))) return static_cast<Enum>(i);
  line.fail(expected);
}

class Parser {
 public:
  Parser(OpLookup lookup) : lookup_(lookup), builder_(graph_) {}

  void header(LineReader line) {
    line.want("graph ");
    graph_.name = line.quoted();
    line.want(" stage=");
    graph_.stage = named<Stage>(line, stage_name, 3, "global, local or lowered");
    if (!line.done()) line.fail("the end of the line");
  }

  void statement(LineReader line) {
    if (line.accept("input ")) {
      defines(line, line.value());
      line.want(" ");
      std::string name = unique(line, inputs_);
      line.want(" : ");
      builder_.input(std::move(name), line.type());
    } else if (line.accept("state ")) {
      defines(line, line.value());
      line.want(" ");
      std::string name = unique(line, states_);
      line.want(" role=");
      Role role = named<Role>(line, role_name, 5, "a role");
      line.want(" tier=");
      Tier tier = named<Tier>(line, tier_name, 3, "a tier");
      bool trainable = line.accept(" trainable");
      line.want(" : ");
      builder_.state(std::move(name), line.type(), role, trainable, tier);
    } else if (line.accept("output ")) {
      std::string name = unique(line, outputs_);
      line.want(" ");
      builder_.output(std::move(name), used(line));
    } else if (line.accept("update ")) {
      std::string name = line.quoted();
      auto it = states_.find(name);
      if (it == states_.end()) line.fail("the name of a state");
      line.want(" ");
      builder_.update(it->second, used(line));
    } else {
      node(line);
      return;
    }
    if (!line.done()) line.fail("the end of the line");
  }

  Graph finish() { return std::move(graph_); }

 private:
  void node(LineReader& line) {
    std::vector<ValueId> results{line.value()};
    while (line.accept(", ")) {
      if (results.size() == AxisRule::kMaxResults) line.fail("fewer results");
      results.push_back(line.value());
    }
    for (size_t i = 0; i < results.size(); ++i)
      if (results[i] != static_cast<ValueId>(graph_.values.size() + i))
        line.fail("consecutive value numbers");
    line.want(" = ");
    std::string_view name = line.until("(");
    const OpDef* op = lookup_(name);
    if (!op) throw_invalid("unknown op '" + std::string(name.substr(0, 64)) + "'");
    line.want("(");
    std::vector<ValueId> operands;
    if (!line.accept(")")) {
      do {
        if (operands.size() == AxisRule::kMaxOperands) line.fail("fewer operands");
        operands.push_back(used(line));
      } while (line.accept(", "));
      line.want(")");
    }
    std::string_view attrs_text;
    if (line.accept(" {")) {
      attrs_text = line.until("}");
      line.want("}");
    }
    Symbol scope;
    if (line.accept(" @")) scope = Symbol(line.quoted());
    builder_.set_scope(scope);
    builder_.emit(*op, op->attrs->parse(attrs_text), operands);
    line.want(" : ");
    for (size_t i = 0; i < results.size(); ++i) {
      if (i) line.want(", ");
      if (graph_.nodes.back().num_results != static_cast<int>(results.size()))
        line.fail("as many results as the op has");
      if (!(line.type() == graph_.type(results[i])))
        line.fail("the type the op infers, " + to_string(graph_.type(results[i])));
    }
    if (!line.done()) line.fail("the end of the line");
  }

  void defines(LineReader& line, ValueId v) {
    if (v != static_cast<ValueId>(graph_.values.size())) line.fail("consecutive value numbers");
  }
  ValueId used(LineReader& line) {
    ValueId v = line.value();
    if (v >= static_cast<ValueId>(graph_.values.size())) line.fail("a value defined above");
    return v;
  }
  std::string unique(LineReader& line, std::unordered_map<std::string, int>& names) {
    std::string name = line.quoted();
    if (!names.emplace(name, static_cast<int>(names.size())).second) line.fail("a name not used before");
    return name;
  }

  OpLookup lookup_;
  Graph graph_;
  Builder builder_;
  std::unordered_map<std::string, int> inputs_, states_, outputs_;
};

}  // namespace

Graph parse(std::string_view text, OpLookup lookup) {
  Parser parser(lookup);
  int number = 0;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (++number > kMaxLines) throw_invalid("graph text: more than 4194304 lines");
    if (number == 1) {
      parser.header({line, number});
    } else if (!line.empty() && line.front() != '#') {
      try {
        parser.statement({line, number});
      } catch (const Error& e) {
        std::string what = e.what();
        if (what.starts_with("graph text line")) throw;
        throw Error(e.code(), "graph text line " + std::to_string(number) + ": " + what);
      }
    }
  }
  if (number == 0) throw_invalid("graph text: empty");
  return parser.finish();
}

}  // namespace hoist::ir
