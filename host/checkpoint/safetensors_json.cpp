#include "host/checkpoint/safetensors_json.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <unordered_map>

#include "host/base/error.hpp"
#include "host/base/json.hpp"

namespace quanthost {
namespace {

// Deep nesting can only occur in fields that are ignored. The reference's parser stops at the same
// depth.
constexpr int kMaxDepth = 127;

[[noreturn]] void fail_json(std::string_view detail) {
  throw Error(ErrorKind::kValue, fmt::format("invalid JSON in header: {}", detail));
}

// Receives nlohmann's parse events. Depth 1 is the header object, depth 2 a tensor or the metadata,
// depth 3 a tensor's shape or offsets.
class HeaderEvents final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("a boolean"); }
  bool number_integer(number_integer_t) override { return value("a negative number"); }
  bool number_float(number_float_t, const string_t&) override {
    return value("a fraction or a number too large");
  }
  bool binary(binary_t&) override { return value("binary data"); }

  bool number_unsigned(number_unsigned_t number) override {
    if (depth_ == 3 && target_ != Target::kNone) {
      store(number);
      return true;
    }
    return value("a number");
  }

  bool string(string_t& text) override {
    if (depth_ == 2 && in_metadata_) {
      header_.metadata[key_] = std::move(text);
      return true;
    }
    if (depth_ == 2 && key_ == "dtype") {
      dtype_ = dtype_from_safetensors_name(text);
      if (!dtype_) fail_json(fmt::format("tensor {}: unknown dtype \"{}\"", tensor_.name, text));
      return true;
    }
    return value("a string");
  }

  bool start_object(std::size_t) override {
    if (depth_ == 1) {
      in_metadata_ = key_ == kSafetensorsMetadataKey;
      begin_entry();
    } else if (depth_ > 1) {
      value("an object");
    }
    return deeper();
  }

  bool key(string_t& text) override {
    key_ = std::move(text);
    if (depth_ == 2 && !in_metadata_ && is_field(key_)) {
      if (std::find(seen_.begin(), seen_.end(), key_) != seen_.end()) {
        fail_json(fmt::format("tensor {}: field {} occurs twice", tensor_.name, key_));
      }
      seen_.push_back(key_);
    }
    return true;
  }

  bool end_object() override {
    --depth_;
    if (depth_ == 1 && !in_metadata_) end_tensor();
    return true;
  }

  bool start_array(std::size_t) override {
    if (depth_ == 2 && !in_metadata_ && key_ == "shape") {
      target_ = Target::kShape;
    } else if (depth_ == 2 && !in_metadata_ && key_ == "data_offsets") {
      target_ = Target::kOffsets;
    } else {
      value("an array");
    }
    return deeper();
  }

  bool end_array() override {
    --depth_;
    if (depth_ == 2) target_ = Target::kNone;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& e) override {
    fail_json(fmt::format("at byte {}: {}", position, e.what()));
  }

  SafetensorsHeader take() && { return std::move(header_); }

 private:
  enum class Target { kNone, kShape, kOffsets };

  static bool is_field(std::string_view key) {
    return key == "dtype" || key == "shape" || key == "data_offsets";
  }

  // Any value that is not one the format asks for: fine inside an ignored field, an error
  // elsewhere.
  bool value(std::string_view what) {
    if (depth_ == 1) {
      if (key_ == kSafetensorsMetadataKey && what == "null") return true;
      fail_json(fmt::format("{} must be an object, not {}", key_, what));
    }
    if (in_metadata_)
      fail_json(fmt::format("__metadata__ may hold strings only, and {} is {}", key_, what));
    if (target_ != Target::kNone || (depth_ == 2 && is_field(key_))) {
      fail_json(fmt::format("tensor {}: {} may not be or hold {}", tensor_.name, key_, what));
    }
    return true;
  }

  bool deeper() {
    if (++depth_ > kMaxDepth) fail_json("it is nested too deeply");
    return true;
  }

  void begin_entry() {
    if (in_metadata_) {
      header_.metadata.clear();
      return;
    }
    tensor_ = {};
    tensor_.name = key_;
    dtype_.reset();
    offsets_.clear();
    seen_.clear();
  }

  void store(std::uint64_t number) {
    if (target_ == Target::kOffsets) {
      offsets_.push_back(number);
      return;
    }
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail_json(fmt::format("tensor {}: the dimension {} is too large", tensor_.name, number));
    }
    tensor_.shape.push_back(static_cast<std::int64_t>(number));
  }

  void end_tensor() {
    for (const std::string_view field : {"dtype", "shape", "data_offsets"}) {
      if (std::find(seen_.begin(), seen_.end(), field) == seen_.end()) {
        fail_json(fmt::format("tensor {}: the field {} is missing", tensor_.name, field));
      }
    }
    if (offsets_.size() != 2) {
      fail_json(fmt::format("tensor {}: data_offsets holds {} numbers, not 2", tensor_.name,
                            offsets_.size()));
    }
    tensor_.dtype = *dtype_;
    tensor_.begin = offsets_[0];
    tensor_.end = offsets_[1];
    const auto [place, is_new] = place_of_.emplace(tensor_.name, header_.tensors.size());
    if (is_new) {
      header_.tensors.push_back(std::move(tensor_));
    } else {
      header_.tensors[place->second] = std::move(tensor_);
    }
  }

  SafetensorsHeader header_;
  std::unordered_map<std::string, std::size_t> place_of_;
  int depth_ = 0;
  std::string key_;
  bool in_metadata_ = false;
  Target target_ = Target::kNone;
  TensorInfo tensor_;
  std::optional<Dtype> dtype_;
  std::vector<std::uint64_t> offsets_;
  std::vector<std::string> seen_;
};

}  // namespace

SafetensorsHeader parse_safetensors_json(std::string_view json) {
  HeaderEvents events;
  Json::sax_parse(json.begin(), json.end(), &events);
  return std::move(events).take();
}

}  // namespace quanthost
