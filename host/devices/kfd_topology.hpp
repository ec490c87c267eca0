// What the Linux kernel's AMD driver says about its GPUs: the target name and the width of a
// wavefront. HIP tells them only in a structure whose layout changes between versions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace quanthost {

struct KfdNode {
  std::string target;  // "gfx90a"
  std::uint32_t wavefront_size;
};

// The node at a PCI address as HIP writes it, "0000:c1:00.0". `nodes` is the driver's folder of
// nodes.
std::optional<KfdNode> find_kfd_node(const std::string& nodes, const std::string& pci_address);

}  // namespace quanthost
