// qh.text/1: texts to token ids and back, and text files.
#include "host/base/file.hpp"
#include "host/base/utf8.hpp"
#include "host/load/abi_strings.hpp"
#include "host/load/model_context.hpp"
#include "host/load/services/services.hpp"

namespace quanthost::services {
namespace {

constexpr std::uint64_t kMaxTextBytes = std::uint64_t{4} << 30;

text::Tokenizer tokenizer_of(qh_model* model, qh_str named) {
  return ModelContext::from_abi(model).tokenizers().get(std::string(from_abi(named)));
}

qh_status tokenize(qh_model* model, qh_str tokenizer, qh_str text, qh_token_sink out) {
  return guard_call([&] {
    const auto ids = tokenizer_of(model, tokenizer).encode(from_abi(text));
    const std::vector<std::int64_t> wide(ids.begin(), ids.end());
    check_call(out.emit(out.ctx, wide.data(), wide.size()));
  });
}

qh_status detokenize(qh_model* model, qh_str tokenizer, const std::int64_t* ids,
                     std::uint64_t count, qh_str_sink out) {
  return guard_call([&] {
    std::vector<text::TokenId> narrow;
    for (std::uint64_t i = 0; i < count; ++i) {
      if (ids[i] < 0 || ids[i] > INT32_MAX)
        fail(ErrorKind::kValue, "detokenize: {} is no token id", ids[i]);
      narrow.push_back(static_cast<text::TokenId>(ids[i]));
    }
    const std::string text = tokenizer_of(model, tokenizer).decode(narrow);
    check_call(out.emit(out.ctx, to_abi(text)));
  });
}

qh_status read_text(qh_model*, qh_str path, qh_str_sink out) {
  return guard_call([&] {
    const std::string file(from_abi(path));
    const std::string text = read_text_file(file, kMaxTextBytes);
    if (const auto bad = first_invalid_utf8(text)) {
      throw Error(ErrorKind::kValue,
                  fmt::format("{}: is no UTF-8 text, byte {} is not valid", file, *bad),
                  "convert the file to UTF-8");
    }
    check_call(out.emit(out.ctx, to_abi(text)));
  });
}

}  // namespace

const qh_text_api& text() {
  static const qh_text_api table{sizeof(qh_text_api), 0, tokenize, detokenize, read_text};
  return table;
}

}  // namespace quanthost::services
