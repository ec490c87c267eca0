// y = x · Wᵀ in bfloat16 for more than a few tokens (AVX512-BF16): panels of outputs are decoded
// for all of them.
#pragma once

#include <quanthost/cpu/bf16_product.hpp>

#include "cpu/bf16_decode.inl"
#include "cpu/linear_dot.inl"

namespace quanthost::quanto {
namespace {

inline cpu::Bf16Tokens panel_tokens(const LinearArgs& a) {
  return {static_cast<std::uint16_t*>(a.staged), a.tokens, cpu::bf16_steps(a.inputs)};
}

inline void bf16_panel_stage(const LinearArgs& a, std::int64_t begin, std::int64_t end) {
  const cpu::Bf16Tokens tokens = panel_tokens(a);
  for (std::int64_t t = begin; t < end; ++t) {
    const auto* from = static_cast<const BFloat16*>(a.x) + t * a.inputs;
    std::uint16_t* to = tokens.at(t, 0);
    const std::int64_t stride = tokens.stride(t);
    for (std::int64_t k = 0; k < a.inputs; k += 32, to += stride)
      _mm512_store_si512(to, _mm512_maskz_loadu_epi16(word_mask(a.inputs - k), from + k));
  }
}

// -- decoders: what bf16_panels() asks for
// ----------------------------------------------------------
inline constexpr std::int64_t kPartColumns = 64;
inline constexpr std::int64_t kBytesAhead = 4096;  // asked for before they are decoded

// 8-bit weights: stretches are rows.
template <bool kInt8>
class BytePanel {
 public:
  BytePanel(const LinearArgs& a, std::int64_t output, std::int64_t outputs,
            const cpu::Bf16Panel& panel)
      : words_(&byte_words(a.weight.qtype)),
        at_(a.weight.data + output * a.inputs),
        row_end_(outputs > 0 ? at_ + a.inputs : at_),
        end_(at_ + outputs * a.inputs),
        inputs_(a.inputs),
        writer_(panel) {}
  std::int64_t left() const { return (row_end_ - at_) / kPartColumns; }
  [[gnu::always_inline]] void part() {
    _mm_prefetch(reinterpret_cast<const char*>(at_ + kBytesAhead), _MM_HINT_T0);
    if constexpr (kInt8) {
      const auto* bytes = reinterpret_cast<const __m128i*>(at_);
      for (int i = 0; i < 4; i += 2)
        writer_.put(ByteWords::int8(_mm_loadu_si128(bytes + i), _mm_loadu_si128(bytes + i + 1)));
    } else {
      const ByteWords::Pair words = words_->float8(_mm512_loadu_si512(at_));
      writer_.put(words.first);
      writer_.put(words.second);
    }
    at_ += kPartColumns;
  }
  [[gnu::always_inline]] bool advance() {
    if (row_end_ == end_) return false;
    row_end_ += inputs_;
    writer_.next_row();
    return true;
  }

 private:
  const ByteWords* words_;
  const std::uint8_t *at_, *row_end_, *end_;
  std::int64_t inputs_;
  cpu::Bf16PanelWriter writer_;
};

// Any other weight: one stretch, whose parts are whole rows.
class RowPanel {
 public:
  RowPanel(const LinearArgs& a, std::int64_t output, std::int64_t outputs,
           const cpu::Bf16Panel& panel, std::uint16_t* spare)
      : a_(&a), panel_(panel), spare_(spare), output_(output), outputs_(outputs) {}
  std::int64_t left() const { return outputs_ - done_; }
  [[gnu::noinline]] void part() {
    std::uint16_t* to = panel_.row(done_);
    const LinearArgs& a = *a_;
    decode_words(a, output_ + done_, 0, a.inputs,
                 [this](std::int64_t i, __m512i words, std::int64_t n) {
                   _mm512_mask_storeu_epi16(spare_ + i, word_mask(n), words);
                 });
    for (std::int64_t k = 0; k < a.inputs; k += 32, to += cpu::Bf16Panel::kStride)
      _mm512_store_si512(to, _mm512_maskz_loadu_epi16(word_mask(a.inputs - k), spare_ + k));
    ++done_;
  }
  bool advance() { return false; }

 private:
  const LinearArgs* a_;
  cpu::Bf16Panel panel_;
  std::uint16_t* spare_;  // a row: its groups need not begin at steps
  std::int64_t output_, outputs_, done_ = 0;
};

// -- the path
// --------------------------------------------------------------------------------------- Memory of
// a run, and the row that weights of any other shape are decoded through.
inline std::int64_t bf16_panel_scratch_bytes(const LinearArgs& a) {
  return cpu::bf16_panels_bytes(panel_tokens(a)) + cpu::bf16_steps(a.inputs) * 64;
}

template <class MakeDecoder>
inline void bf16_panel_product(const LinearArgs& a, std::int64_t begin, std::int64_t end,
                               void* scratch, MakeDecoder&& decoder) {
  const auto store = [&](std::int64_t output, std::int64_t outputs) {
    struct Scales {
      alignas(64) float of[cpu::kBf16PanelRows];
    } scales;
    for (std::int64_t r = 0; r < outputs; ++r) scales.of[r] = output_scale(a, output + r);
    return [&a, output, outputs, scales](std::int64_t token, const float* values) {
      alignas(64) float scaled[cpu::kBf16PanelRows];
      for_each_vector(outputs, [&](std::int64_t i, int n) {
        store_part(scaled + i, load_part(values + i, n) * load_part(scales.of + i, n), n);
      });
      write_outputs(a, token, output, outputs, scaled);
    };
  };
  cpu::bf16_panels(panel_tokens(a), begin, end, scratch, decoder, store);
}

inline void bf16_panel_run(const LinearArgs& a, std::int64_t begin, std::int64_t end,
                           void* scratch) {
  const cpu::Bf16Tokens tokens = panel_tokens(a);
  const std::int64_t at_once = cpu::bf16_rows_at_once(tokens);
  const auto run = [&](auto&& decoder) {
    bf16_panel_product(a, begin * at_once, end * at_once < a.outputs ? end * at_once : a.outputs,
                       scratch, decoder);
  };
  using Panel = cpu::Bf16Panel;
  const bool whole_parts = a.weight.columns % kPartColumns == 0;
  if (a.weight.qtype == QType::int8 && whole_parts)
    return run([&](std::int64_t output, std::int64_t outputs, const Panel& panel) {
      return BytePanel<true>(a, output, outputs, panel);
    });
  if (is_float8(a.weight.qtype) && whole_parts)
    return run([&](std::int64_t output, std::int64_t outputs, const Panel& panel) {
      return BytePanel<false>(a, output, outputs, panel);
    });
  auto* spare = reinterpret_cast<std::uint16_t*>(static_cast<std::uint8_t*>(scratch) +
                                                 cpu::bf16_panels_bytes(tokens));
  run([&](std::int64_t output, std::int64_t outputs, const Panel& panel) {
    return RowPanel(a, output, outputs, panel, spare);
  });
}

inline const LinearPath kBf16PanelPath = {
    "bf16 panel",
    [](const LinearArgs& a) { return cpu::Bf16Tokens::bytes(a.tokens, a.inputs); },
    [](const LinearArgs& a) { return a.tokens; },
    bf16_panel_stage,
    [](const LinearArgs& a) {
      return ceil_div(a.outputs, cpu::bf16_rows_at_once(panel_tokens(a)));
    },
    bf16_panel_scratch_bytes,
    bf16_panel_run};

}  // namespace
}  // namespace quanthost::quanto
