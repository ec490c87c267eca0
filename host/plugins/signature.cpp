#include "host/plugins/signature.hpp"

#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "host/base/error.hpp"
#include "host/base/sha256.hpp"

namespace quanthost {
namespace {

constexpr std::size_t kSignatureBytes = 2 + 8 + crypto_sign_BYTES;  // algorithm, key id, signature
constexpr std::size_t kKeyBytes = 2 + 8 + crypto_sign_PUBLICKEYBYTES;
constexpr std::uint64_t kMaxLegacyBytes =
    256 * 1024 * 1024;  // a signature that is not pre-hashed needs it all in memory

void start_sodium() {
  if (sodium_init() < 0) fail(ErrorKind::kRuntime, "libsodium cannot be used on this machine");
}

template <std::size_t N>
bool decode(std::string_view base64, std::array<std::uint8_t, N>& out) {
  std::size_t size = 0;
  return sodium_base642bin(out.data(), N, base64.data(), base64.size(), " \r", &size, nullptr,
                           sodium_base64_VARIANT_ORIGINAL) == 0 &&
         size == N;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty() && lines.size() < 16) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) lines.push_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

template <typename Update>
void for_each_piece(const ByteSource& source, Update update) {
  std::vector<std::byte> buffer(std::min<std::uint64_t>(source.size(), 1024 * 1024));
  for (std::uint64_t at = 0; at < source.size();) {
    const std::uint64_t n = std::min<std::uint64_t>(buffer.size(), source.size() - at);
    source.read(at, std::span(buffer).first(n));
    update(reinterpret_cast<const unsigned char*>(buffer.data()), n);
    at += n;
  }
}

// What was signed: the BLAKE2b-512 of the content ("ED"), or in older signatures the content itself
// ("Ed").
std::vector<unsigned char> signed_message(const ByteSource& source, bool prehashed) {
  std::vector<unsigned char> message;
  if (prehashed) {
    crypto_generichash_state state;
    message.resize(crypto_generichash_BYTES_MAX);
    crypto_generichash_init(&state, nullptr, 0, message.size());
    for_each_piece(source, [&](const unsigned char* data, std::size_t n) {
      crypto_generichash_update(&state, data, n);
    });
    crypto_generichash_final(&state, message.data(), message.size());
  } else {
    message.resize(source.size());
    source.read(0, std::as_writable_bytes(std::span(message)));
  }
  return message;
}

std::string key_id_text(const std::uint8_t* id) {
  std::string out;
  for (int i = 7; i >= 0; --i) out += fmt::format("{:02X}", id[i]);
  return out;
}

}  // namespace

std::string sha256_hex(const ByteSource& source) {
  Sha256 hash;
  for_each_piece(source, [&](const unsigned char* data, std::size_t n) {
    hash.update(std::as_bytes(std::span(data, n)));
  });
  return std::move(hash).hex();
}

PublicKey PublicKey::parse(std::string_view text) {
  start_sodium();
  const auto lines = lines_of(text);
  std::array<std::uint8_t, kKeyBytes> raw{};
  if (lines.empty() || !decode(lines.back(), raw) || raw[0] != 'E' || raw[1] != 'd') {
    throw Error(ErrorKind::kValue, "not a minisign public key",
                "pass the line that starts with RW of a minisign .pub file");
  }
  PublicKey key;
  std::copy_n(raw.begin() + 2, key.id.size(), key.id.begin());
  std::copy_n(raw.begin() + 10, key.key.size(), key.key.begin());
  return key;
}

std::string PublicKey::id_text() const { return key_id_text(id.data()); }

SignatureCheck check_signature(const ByteSource& source, std::string_view minisig,
                               const std::vector<PublicKey>& keys) {
  constexpr std::string_view kTrustedPrefix = "trusted comment: ";
  start_sodium();
  SignatureCheck check;
  check.reason = "the .minisig file is not in minisign's format";
  const auto lines = lines_of(minisig);
  std::array<std::uint8_t, kSignatureBytes> raw{};
  std::array<std::uint8_t, crypto_sign_BYTES> global{};
  if (lines.size() != 4 || !decode(lines[1], raw) || !lines[2].starts_with(kTrustedPrefix) ||
      !decode(lines[3], global)) {
    return check;
  }
  const bool prehashed = raw[0] == 'E' && raw[1] == 'D';
  if (!prehashed && !(raw[0] == 'E' && raw[1] == 'd')) return check;
  check.key_id = key_id_text(raw.data() + 2);
  const auto key = std::find_if(keys.begin(), keys.end(), [&](const PublicKey& k) {
    return std::equal(k.id.begin(), k.id.end(), raw.begin() + 2);
  });
  if (key == keys.end()) {
    check.result = SignatureCheck::Result::kNoSuchKey;
    check.reason = fmt::format("signed with key {}, which is not trusted here", check.key_id);
    return check;
  }
  if (!prehashed && source.size() > kMaxLegacyBytes) {
    check.reason =
        "the file is too large for a signature that is not pre-hashed; sign it with 'minisign -H'";
    return check;
  }
  const auto message = signed_message(source, prehashed);
  const unsigned char* signature = raw.data() + 10;
  if (crypto_sign_verify_detached(signature, message.data(), message.size(), key->key.data()) !=
      0) {
    check.reason =
        fmt::format("the signature by key {} does not match the file: it was changed after signing",
                    check.key_id);
    return check;
  }
  const std::string_view comment = lines[2].substr(kTrustedPrefix.size());
  std::vector<unsigned char> global_message(signature, signature + crypto_sign_BYTES);
  global_message.insert(global_message.end(), comment.begin(), comment.end());
  if (crypto_sign_verify_detached(global.data(), global_message.data(), global_message.size(),
                                  key->key.data()) != 0) {
    check.reason = "the signature's trusted comment was changed after signing";
    return check;
  }
  check.result = SignatureCheck::Result::kGood;
  check.trusted_comment = std::string(comment);
  check.reason.clear();
  return check;
}

}  // namespace quanthost
