// Ed25519 signatures in minisign's format, through libsodium.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "host/plugins/file_bytes.hpp"

namespace quanthost {

std::string sha256_hex(const ByteSource& source);

// A minisign public key: the base64 line of a .pub file, or the whole file.
struct PublicKey {
  std::array<std::uint8_t, 8> id{};
  std::array<std::uint8_t, 32> key{};

  static PublicKey parse(std::string_view text);  // throws kValue
  std::string id_text() const;                    // as minisign prints it, e.g. "E7620F1842B4E81F"
};

struct SignatureCheck {
  enum class Result { kGood, kNoSuchKey, kBad } result = Result::kBad;
  std::string key_id;           // of the key that signed
  std::string trusted_comment;  // only when good
  std::string reason;           // when not good
};

// Checks the file's content against a .minisig text. Never throws for what the signature says.
SignatureCheck check_signature(const ByteSource& source, std::string_view minisig,
                               const std::vector<PublicKey>& keys);

}  // namespace quanthost
