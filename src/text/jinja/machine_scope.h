// Guards of the Machine, for evaluate.cc and execute.cc only.
#pragma once

#include "text/jinja/machine.h"

namespace hoist::text::jinja {

// Everything that recurses holds one: the stack is bounded by Limits::max_depth, not by the template.
struct Machine::Level {
  explicit Level(Machine& machine) : machine(machine) {
    machine.burn(1);
    if (++machine.depth_ > machine.options_.limits.max_depth) {
      --machine.depth_;
      machine.exhausted("calls and expressions nest too deep");
    }
  }
  ~Level() { --machine.depth_; }
  Machine& machine;
};

struct Machine::Inner {
  Inner(Machine& machine, Scope* parent) : machine(machine), outer(machine.scope_) {
    if (machine.free_scopes_.empty()) {
      machine.check_memory(sizeof(Scope));
      machine.meter_.live += sizeof(Scope);
      machine.free_scopes_.push_back(&machine.scopes_.emplace_back());
    }
    scope = machine.free_scopes_.back();
    machine.free_scopes_.pop_back();
    scope->parent = parent;
    machine.scope_ = scope;
  }
  // A macro made in a scope may outlive it and looks into it: such a scope stays until the render ends.
  ~Inner() {
    machine.scope_ = outer;
    if (scope->captured) return;
    scope->variables.clear();
    machine.free_scopes_.push_back(scope);
  }
  Machine& machine;
  Scope* outer;
  Scope* scope;
};

struct Machine::Capture {
  explicit Capture(Machine& machine) : machine(machine), outer(machine.out_) { machine.out_ = &text; }
  ~Capture() {
    machine.out_ = outer;
    machine.written_ -= text.size();
  }
  // What was written; the guard goes on counting it as written until it ends.
  Value value() { return machine.str(text); }
  Machine& machine;
  std::string* outer;
  std::string text;
};

}  // namespace hoist::text::jinja
