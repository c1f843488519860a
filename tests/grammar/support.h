// Shared by the grammar tests: vocabularies, generations under a mask, schemas made at random.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/grammar/matcher.h"

namespace hoist::text {

using Rng = std::mt19937_64;

inline size_t below(Rng& rng, size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(rng); }
inline bool chance(Rng& rng, double p) { return std::uniform_real_distribution<>(0, 1)(rng) < p; }

// All 256 bytes, then `pieces` random ones cut from JSON-like text, then the end token (the last id).
std::shared_ptr<const TokenTable> make_table(Rng& rng, size_t pieces);
// Any tokens, "<end>" added last.
std::shared_ptr<const TokenTable> table_of(std::vector<std::string> tokens);

std::shared_ptr<const Constraint> constrain(Grammar grammar, std::shared_ptr<const TokenTable> table,
                                            const ConstraintOptions& options = {});

std::vector<int32_t> allowed(Matcher& matcher, uint64_t tokens_left = Matcher::kNoCap);

// Generates until an end token or `cap` tokens. Fails the test when a step has no allowed token, an allowed
// token is not accepted, or the text is not whole at the end.
std::string generate(const std::shared_ptr<const Constraint>& constraint, Rng& rng, uint64_t cap);

// True if `text` is a whole text of the grammar.
bool matches(const std::shared_ptr<const Constraint>& constraint, std::string_view text);

// A schema of the supported kinds, and whether a value satisfies one.
nlohmann::json random_schema(Rng& rng);
bool valid(const nlohmann::json& schema, const nlohmann::json& value, const nlohmann::json& root);

}  // namespace hoist::text
