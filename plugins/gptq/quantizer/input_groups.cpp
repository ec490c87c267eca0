// Finds equal inputs by their content: what lies at one address may be another tensor a moment
// later.
#include "quantizer/input_groups.hpp"

#include <cstring>
#include <map>

#include "quantizer/host_tensor.hpp"

namespace quanthost::gptq {
namespace {

std::uint64_t hash_bytes(const unsigned char* data, std::size_t size) {
  std::uint64_t lanes[4] = {1, 2, 3, 4};  // independent sums: memory is the limit, not the multiply
  std::uint64_t word[4];
  std::size_t at = 0;
  for (; at + sizeof word <= size; at += sizeof word) {
    std::memcpy(word, data + at, sizeof word);
    for (int i = 0; i < 4; ++i) lanes[i] = (lanes[i] ^ word[i]) * 0x9e3779b97f4a7c15u + 1;
    for (int i = 0; i < 4; ++i) lanes[i] ^= lanes[i] >> 32;
  }
  std::uint64_t hash = size;
  for (const std::uint64_t lane : lanes) hash = (hash ^ lane) * 0xd6e8feb86659fd93u;
  for (; at < size; ++at) hash = (hash ^ data[at]) * 0x100000001b3u;
  return hash ^ hash >> 32;
}

}  // namespace

std::uint64_t content_hash(const qh::Exec& exec, qh::TensorView tensor) {
  if (tensor.abi()->device.type == QH_DEVICE_CPU && tensor.is_contiguous())
    return hash_bytes(tensor.data<unsigned char>(), tensor.bytes());
  const auto values = to_host<float>(exec, *tensor.abi(), qh::kFloat32);
  return hash_bytes(reinterpret_cast<const unsigned char*>(values.data()),
                    values.size() * sizeof(float));
}

InputGroups find_input_groups(const qh::Exec& exec, const CalibrationRun& run, std::uint64_t block,
                              const std::vector<std::string>& layers) {
  using Inputs = std::vector<std::pair<std::uint64_t, std::uint64_t>>;  // batch, content
  std::map<std::string, Inputs, std::less<>> inputs;
  run.run_block(
      exec, block, layers,
      [&](std::string_view layer, qh::TensorView input, std::uint64_t batch, std::uint64_t) {
        inputs[std::string(layer)].emplace_back(batch, content_hash(exec, input));
      });
  InputGroups groups;
  std::map<Inputs, std::size_t> group_of;
  for (const std::string& layer : layers) {
    const Inputs& seen = inputs[layer];
    // Layers that nothing reached have no input in common.
    const auto [found, is_new] = group_of.try_emplace(seen, groups.size());
    if (is_new || seen.empty())
      groups.push_back({layer});
    else
      groups[found->second].push_back(layer);
  }
  return groups;
}

}  // namespace quanthost::gptq
