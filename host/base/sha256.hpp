// SHA-256 through libsodium.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "host/base/file.hpp"

namespace quanthost {

// Of bytes that come piece by piece.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> piece);
  std::string hex() &&;  // 64 lower-case digits

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(const File& file);

}  // namespace quanthost
