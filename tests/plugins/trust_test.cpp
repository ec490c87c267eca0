#include "host/plugins/trust.hpp"

#include <gmock/gmock.h>
#include <sodium.h>

#include "host/base/atomic_output.hpp"
#include "host/base/error.hpp"
#include "tests/cli/command.hpp"

namespace quanthost {
namespace {

using test::TemporaryDirectory;
using ::testing::HasSubstr;
namespace fs = std::filesystem;
using Level = TrustVerdict::Level;

// Signs as minisign does, with a key of its own.
struct Signer {
  unsigned char public_key[crypto_sign_PUBLICKEYBYTES], secret_key[crypto_sign_SECRETKEYBYTES];
  std::string id = "12345678";

  Signer() {
    EXPECT_GE(sodium_init(), 0);
    crypto_sign_keypair(public_key, secret_key);
  }
  static std::string base64(const std::string& bytes) {
    std::string out(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(out.data(), out.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                      bytes.size(), sodium_base64_VARIANT_ORIGINAL);
    out.pop_back();
    return out;
  }
  std::string key_text() const {
    return base64("Ed" + id +
                  std::string(reinterpret_cast<const char*>(public_key), sizeof public_key));
  }
  std::string sign(const std::string& message) const {
    std::string out(crypto_sign_BYTES, '\0');
    crypto_sign_detached(reinterpret_cast<unsigned char*>(out.data()), nullptr,
                         reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                         secret_key);
    return out;
  }
  std::string minisig(const std::string& content, const std::string& comment) const {
    std::string hash(crypto_generichash_BYTES_MAX, '\0');
    crypto_generichash(reinterpret_cast<unsigned char*>(hash.data()), hash.size(),
                       reinterpret_cast<const unsigned char*>(content.data()), content.size(),
                       nullptr, 0);
    const std::string signature = sign(hash);
    return "untrusted comment: test\n" + base64("ED" + id + signature) +
           "\ntrusted comment: " + comment + "\n" + base64(sign(signature + comment)) + "\n";
  }
};

struct Fixture : ::testing::Test {
  TemporaryDirectory directory;
  fs::path file = directory.path() / "p.so";
  TrustSettings settings;

  void SetUp() override { write_private_file(file, "the plugin"); }
  TrustVerdict judge() const {
    return judge_trust(file, "org.x.p", permission_fault(directory.path()), settings);
  }
};

using Trust = Fixture;

TEST_F(Trust, RefusesAFileOrDirectoryThatOthersCanWrite) {
  EXPECT_EQ(judge().level, Level::kUnverified);
  fs::permissions(file, fs::perms::others_write, fs::perm_options::add);
  EXPECT_EQ(judge().level, Level::kRefused);
  fs::permissions(file, fs::perms::others_write, fs::perm_options::remove);
  fs::permissions(directory.path(), fs::perms::others_write, fs::perm_options::add);
  EXPECT_THAT(judge().reason, HasSubstr("can be written by every user"));
  settings.policy = TrustPolicy::kOff;
  EXPECT_EQ(judge().level, Level::kUnverified);
}

TEST_F(Trust, TakesASignatureByATrustedKeyAndNoOther) {
  const Signer signer;
  write_private_file(file.string() + ".minisig", signer.minisig("the plugin", "file:p.so"));
  settings.policy = TrustPolicy::kRequire;
  EXPECT_THAT(judge().reason, HasSubstr("which is not trusted here"));
  settings.keys = {{PublicKey::parse(signer.key_text()), signer.key_text(), ""}};
  EXPECT_EQ(judge().level, Level::kTrusted) << judge().reason;
  settings.keys[0].prefix = "com.other.";
  EXPECT_EQ(judge().level, Level::kRefused) << "the key is not for this id";
}

TEST_F(Trust, RefusesAChangedFileWhateverThePolicySays) {
  const Signer signer;
  settings.keys = {{PublicKey::parse(signer.key_text()), signer.key_text(), ""}};
  write_private_file(file.string() + ".minisig", signer.minisig("another content", "c"));
  EXPECT_EQ(judge().level, Level::kRefused);
  EXPECT_THAT(judge().reason, HasSubstr("changed after signing"));
  std::string forged = signer.minisig("the plugin", "version 1");
  forged.replace(forged.find("version 1"), 9, "version 9");
  write_private_file(file.string() + ".minisig", forged);
  EXPECT_THAT(judge().reason, HasSubstr("trusted comment was changed"));
}

TEST_F(Trust, AllowsExactlyTheListedFileAndBlocksById) {
  settings.policy = TrustPolicy::kRequire;
  EXPECT_EQ(judge().level, Level::kRefused);
  settings.allowed = {{"org.x.p", sha256_hex(FileBytes(file))}};
  EXPECT_EQ(judge().level, Level::kTrusted);
  write_private_file(file, "the plugin, changed");
  EXPECT_EQ(judge().level, Level::kRefused);
  settings.policy = TrustPolicy::kWarn;
  settings.blocked = {{"org.x.p", ""}};
  EXPECT_THAT(judge().reason, HasSubstr("blocked"));
}

TEST_F(Trust, KeepsItsSettingsInAFileThatOnlyItsOwnerCanWrite) {
  const Signer signer;
  const fs::path path = directory.path() / "config" / "trust.json";
  settings.policy = TrustPolicy::kRequire;
  settings.keys = {{PublicKey::parse(signer.key_text()), signer.key_text(), "org.x."}};
  settings.blocked = {{"bad", ""}};
  settings.save(path);
  const TrustSettings again = TrustSettings::load(path);
  EXPECT_EQ(again.policy, TrustPolicy::kRequire);
  EXPECT_EQ(again.keys.at(0).prefix, "org.x.");
  EXPECT_EQ(again.blocked.at(0).id, "bad");
  fs::permissions(path, fs::perms::others_write, fs::perm_options::add);
  EXPECT_THROW(TrustSettings::load(path), Error);
}

TEST_F(Trust, VerifiesWhatMinisignItselfSigns) {
  if (std::system("minisign -v >/dev/null 2>&1") != 0) GTEST_SKIP() << "minisign is not installed";
  const std::string d = directory.path().string();
  ASSERT_EQ(std::system(("cd " + d +
                         " && minisign -G -W -p k.pub -s k.sec >/dev/null 2>&1 || printf '\\n\\n' "
                         "| minisign -G -p k.pub -s k.sec >/dev/null 2>&1")
                            .c_str()),
            0);
  ASSERT_EQ(
      std::system(("cd " + d + " && (printf '\\n' | minisign -S -s k.sec -m p.so) >/dev/null 2>&1")
                      .c_str()),
      0);
  const std::string key = test::Command::read(directory.path() / "k.pub");
  settings.keys = {{PublicKey::parse(key), key, ""}};
  EXPECT_EQ(judge().level, Level::kTrusted) << judge().reason;
}

}  // namespace
}  // namespace quanthost
