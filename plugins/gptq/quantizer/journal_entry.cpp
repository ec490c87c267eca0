// Layout: the length of a JSON text in 8 bytes (little-endian), the text, and behind it the arrays
// of each layer in the order qweight, qzeros, scales, g_idx.
#include "quantizer/journal_entry.hpp"

#include <cstring>

#include "quantizer/report.hpp"

namespace quanthost::gptq {
namespace {

qh::Error damaged() {
  return qh::Error(QH_ERR_VALUE, "an entry of the journal is damaged",
                   "remove the journal's directory to start again");
}

class Reader {
 public:
  Reader(const std::vector<std::uint8_t>& bytes, std::size_t at) : bytes_(bytes), at_(at) {}

  template <typename T>
  std::vector<T> array(std::int64_t count) {
    if (count < 0 || static_cast<std::uint64_t>(count) > (bytes_.size() - at_) / sizeof(T))
      throw damaged();
    std::vector<T> out(static_cast<std::size_t>(count));
    if (count > 0) std::memcpy(out.data(), bytes_.data() + at_, out.size() * sizeof(T));
    at_ += out.size() * sizeof(T);
    return out;
  }
  bool at_end() const { return at_ == bytes_.size(); }

 private:
  const std::vector<std::uint8_t>& bytes_;
  std::size_t at_;
};

template <typename T>
void append(std::vector<std::uint8_t>& out, const std::vector<T>& values) {
  const auto* data = reinterpret_cast<const std::uint8_t*>(values.data());
  out.insert(out.end(), data, data + values.size() * sizeof(T));
}

}  // namespace

std::vector<std::uint8_t> to_bytes(const std::vector<SolvedLayer>& block) {
  Json layers = Json::array();
  for (const SolvedLayer& layer : block) {
    const PackedLayer& p = layer.packed;
    layers.push_back(
        {{"report", to_json(layer.report)}, {"shape", {p.bits, p.inputs, p.outputs, p.groups}}});
  }
  const std::string text = layers.dump();
  std::vector<std::uint8_t> out;
  out.reserve(8 + text.size());
  for (int byte = 0; byte < 8; ++byte)
    out.push_back(static_cast<std::uint8_t>(text.size() >> 8 * byte));
  append(out, std::vector<char>(text.begin(), text.end()));
  for (const SolvedLayer& layer : block) {
    append(out, layer.packed.qweight);
    append(out, layer.packed.qzeros);
    append(out, layer.packed.scales);
    append(out, layer.packed.g_idx);
  }
  return out;
}

std::vector<SolvedLayer> solved_block(const std::vector<std::uint8_t>& bytes) {
  std::uint64_t size = 0;
  if (bytes.size() < sizeof size) throw damaged();
  std::memcpy(&size, bytes.data(), sizeof size);
  if (size > bytes.size() - sizeof size) throw damaged();
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + sizeof size;
  const Json layers = Json::parse(text, text + size, nullptr, false);
  if (!layers.is_array()) throw damaged();
  Reader arrays(bytes, sizeof size + size);
  std::vector<SolvedLayer> block;
  try {
    for (const Json& entry : layers) {
      SolvedLayer& layer = block.emplace_back();
      layer.report = report_from(entry.at("report"));
      PackedLayer& p = layer.packed;
      p.bits = entry.at("shape").at(0).get<int>();
      check_bits(p.bits);
      p.inputs = entry.at("shape").at(1).get<std::int64_t>();
      p.outputs = entry.at("shape").at(2).get<std::int64_t>();
      p.groups = entry.at("shape").at(3).get<std::int64_t>();
      p.qweight = arrays.array<std::uint32_t>(words_for(p.inputs, p.bits) * p.outputs);
      p.qzeros = arrays.array<std::uint32_t>(p.groups * words_for(p.outputs, p.bits));
      p.scales = arrays.array<cpu::Float16>(p.groups * p.outputs);
      p.g_idx = arrays.array<std::int32_t>(p.inputs);
    }
  } catch (const nlohmann::json::exception&) {
    throw damaged();
  }
  if (!arrays.at_end()) throw damaged();
  return block;
}

}  // namespace quanthost::gptq
