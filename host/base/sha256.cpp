#include "host/base/sha256.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <vector>

#include "host/base/error.hpp"

namespace quanthost {

struct Sha256::State {
  crypto_hash_sha256_state hash;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  if (sodium_init() < 0) fail(ErrorKind::kRuntime, "libsodium cannot be used on this machine");
  crypto_hash_sha256_init(&state_->hash);
}

Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> piece) {
  crypto_hash_sha256_update(&state_->hash, reinterpret_cast<const unsigned char*>(piece.data()),
                            piece.size());
}

std::string Sha256::hex() && {
  std::array<unsigned char, crypto_hash_sha256_BYTES> digest;
  crypto_hash_sha256_final(&state_->hash, digest.data());
  std::string out;
  for (const unsigned char byte : digest) out += fmt::format("{:02x}", byte);
  return out;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return std::move(hash).hex();
}

std::string sha256_hex(const File& file) {
  constexpr std::uint64_t kPiece = std::uint64_t{1} << 20;
  Sha256 hash;
  std::vector<std::byte> buffer(std::min(file.size(), kPiece));
  for (std::uint64_t at = 0; at < file.size(); at += buffer.size()) {
    buffer.resize(std::min<std::uint64_t>(buffer.size(), file.size() - at));
    file.read_at(at, buffer);
    hash.update(buffer);
  }
  return std::move(hash).hex();
}

}  // namespace quanthost
