#include "support/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>

namespace hoist::support {

using Library = nlohmann::json;

// Recursion: as deep as the texts of our tests.
struct JsonConversion {
  static Json from(const Library& value) {
    Json out;
    switch (value.type()) {
      case Library::value_t::boolean: return value.get<bool>();
      case Library::value_t::number_integer: return value.get<int64_t>();
      case Library::value_t::number_unsigned: return value.get<uint64_t>();
      case Library::value_t::number_float: return value.get<double>();
      case Library::value_t::string: return value.get_ref<const std::string&>();
      case Library::value_t::array:
        out = Json::array();
        for (const Library& item : value) out.items_.push_back(from(item));
        return out;
      case Library::value_t::object:
        out = Json::object();
        for (const auto& [key, item] : value.items()) {  // sorted
          out.keys_.push_back(key);
          out.items_.push_back(from(item));
        }
        return out;
      default: return nullptr;
    }
  }

  static Library to(const Json& value) {
    Library out;
    switch (value.kind_) {
      case Json::Kind::kNull: break;
      case Json::Kind::kBool: out = value.bits_ != 0; break;
      case Json::Kind::kInt: out = static_cast<int64_t>(value.bits_); break;
      case Json::Kind::kUnsigned: out = value.bits_; break;
      case Json::Kind::kReal: out = value.real_; break;
      case Json::Kind::kString: out = value.text_; break;
      case Json::Kind::kArray:
        out = Library::array();
        for (const Json& item : value.items_) out.push_back(to(item));
        break;
      case Json::Kind::kObject:
        out = Library::object();
        for (size_t i = 0; i < value.items_.size(); ++i) out[value.keys_[i]] = to(value.items_[i]);
        break;
    }
    return out;
  }
};

Json::Json(std::string_view text) : kind_(Kind::kString), text_(text) {}

Json::Json(std::initializer_list<Json> list) {
  const bool is_object = std::all_of(list.begin(), list.end(), [](const Json& item) {
    return item.is_array() && item.size() == 2 && item.at(0).is_string();
  });
  kind_ = is_object ? Kind::kObject : Kind::kArray;
  for (const Json& item : list) {
    if (is_object)
      (*this)[item.at(0).text_.c_str()] = item.at(1);
    else
      items_.push_back(item);
  }
}

Json Json::array(std::initializer_list<Json> items) {
  Json out;
  out.kind_ = Kind::kArray;
  out.items_ = items;
  return out;
}

Json Json::object() {
  Json out;
  out.kind_ = Kind::kObject;
  return out;
}

Json Json::parse(std::string_view text) {
  try {
    return JsonConversion::from(Library::parse(text));
  } catch (const Library::exception& error) {
    throw std::runtime_error(error.what());
  }
}

std::string Json::dump() const { return JsonConversion::to(*this).dump(); }

std::ostream& operator<<(std::ostream& out, const Json& value) {
  return out << JsonConversion::to(value).dump(-1, ' ', false, Library::error_handler_t::replace);
}

const Json& Json::at(size_t index) const {
  expect(Kind::kArray);
  if (index >= items_.size()) throw std::runtime_error("JSON: no element " + std::to_string(index));
  return items_[index];
}

const Json& Json::at(std::string_view key) const {
  expect(Kind::kObject);
  const auto found = std::lower_bound(keys_.begin(), keys_.end(), key);
  if (found == keys_.end() || *found != key) throw std::runtime_error("JSON: no member " + std::string(key));
  return items_[static_cast<size_t>(found - keys_.begin())];
}

Json& Json::operator[](const char* key) {
  if (is_null()) kind_ = Kind::kObject;
  expect(Kind::kObject);
  auto found = std::lower_bound(keys_.begin(), keys_.end(), key);
  const auto index = found - keys_.begin();
  if (found == keys_.end() || *found != key) {
    keys_.insert(found, key);
    items_.insert(items_.begin() + index, Json());
  }
  return items_[static_cast<size_t>(index)];
}

bool Json::contains(std::string_view key) const {
  return std::binary_search(keys_.begin(), keys_.end(), key);
}

void Json::push_back(Json item) {
  if (is_null()) kind_ = Kind::kArray;
  expect(Kind::kArray);
  items_.push_back(std::move(item));
}

void Json::erase(std::string_view key) {
  const auto index = &at(key) - items_.data();
  keys_.erase(keys_.begin() + index);
  items_.erase(items_.begin() + index);
}

void Json::swap(Json& other) {
  std::swap(kind_, other.kind_);
  std::swap(bits_, other.bits_);
  std::swap(real_, other.real_);
  text_.swap(other.text_);
  keys_.swap(other.keys_);
  items_.swap(other.items_);
}

void Json::set(Kind kind, uint64_t bits, double real) {
  kind_ = kind;
  bits_ = bits;
  real_ = real;
}

void Json::expect(Kind kind) const {
  if (kind_ != kind) throw std::runtime_error("JSON: a value of another type: " + dump());
}

double Json::as_double() const {
  if (kind_ == Kind::kReal) return real_;
  if (kind_ == Kind::kInt) return static_cast<double>(static_cast<int64_t>(bits_));
  expect(Kind::kUnsigned);
  return static_cast<double>(bits_);
}

int64_t Json::as_int() const {
  if (kind_ == Kind::kReal) return static_cast<int64_t>(real_);
  if (kind_ != Kind::kBool && kind_ != Kind::kInt) expect(Kind::kUnsigned);
  return static_cast<int64_t>(bits_);
}

bool Json::equal(const Json& a, const Json& b) {
  const auto is_number = [](const Json& v) { return v.is_integer() || v.kind_ == Kind::kReal; };
  if (is_number(a) && is_number(b)) {
    if (!a.is_integer() || !b.is_integer()) return a.as_double() == b.as_double();
    // As bits, 2^64 - 1 and -1 are the same.
    const auto is_negative = [](const Json& v) { return v.kind_ == Kind::kInt && (v.bits_ >> 63) != 0; };
    return a.bits_ == b.bits_ && is_negative(a) == is_negative(b);
  }
  return a.kind_ == b.kind_ && a.bits_ == b.bits_ && a.text_ == b.text_ && a.keys_ == b.keys_ &&
         a.items_ == b.items_;
}

}  // namespace hoist::support
