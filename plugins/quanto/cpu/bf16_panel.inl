// y = x · Wᵀ in bfloat16 for more than a few tokens (AVX512-BF16): panels of outputs are decoded
// for all of them.
#pragma once

#include <quanthost/cpu/bf16_product.hpp>

#include "cpu/bf16_decode.inl"

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

// Memory of a run: the panel, the sums, and a row for weights whose groups do not begin at steps.
inline std::int64_t bf16_panel_scratch_bytes(const LinearArgs& a) {
  return cpu::Bf16Panel::bytes(a.inputs) + cpu::kBf16SumsBytes + cpu::bf16_steps(a.inputs) * 64;
}

inline void bf16_panel_row(const LinearArgs& a, std::int64_t output, const cpu::Bf16Panel& panel,
                           std::int64_t r, std::uint16_t* spare) {
  std::uint16_t* to = panel.row(r);
  if (a.groups == 1 || a.weight.columns % 32 == 0) {
    decode_words(a, output, 0, a.inputs, [to](std::int64_t, __m512i words, std::int64_t) mutable {
      _mm512_store_si512(to, words);
      to += cpu::Bf16Panel::kStride;
    });
    return;
  }
  decode_words(a, output, 0, a.inputs, [&](std::int64_t i, __m512i words, std::int64_t n) {
    _mm512_mask_storeu_epi16(spare + i, word_mask(n), words);
  });
  for (std::int64_t k = 0; k < a.inputs; k += 32, to += cpu::Bf16Panel::kStride)
    _mm512_store_si512(to, _mm512_maskz_loadu_epi16(word_mask(a.inputs - k), spare + k));
}

// The bytes of outputs [output, output + count), as far as they lie together.
inline cpu::Bf16Ahead bytes_ahead(const LinearArgs& a, std::int64_t output, std::int64_t count) {
  if (count <= 0) return {};
  const Matrix& m = a.weight;
  const std::uint8_t* from = find_piece(a, output, 0, 1).bytes;
  const std::int64_t left = m.data + m.packed_rows() * m.columns - from;
  return {from, count * a.inputs < left ? count * a.inputs : left};
}

inline void bf16_panel_run(const LinearArgs& a, std::int64_t begin, std::int64_t end,
                           void* scratch) {
  const cpu::Bf16Tokens tokens = panel_tokens(a);
  auto* memory = static_cast<std::uint8_t*>(scratch);
  const cpu::Bf16Panel panel = {reinterpret_cast<std::uint16_t*>(memory), tokens.steps};
  std::uint8_t* const sums = memory + cpu::Bf16Panel::bytes(a.inputs);
  auto* spare = reinterpret_cast<std::uint16_t*>(sums + cpu::kBf16SumsBytes);
  const std::int64_t panel_rows = cpu::bf16_panel_rows(a.inputs);
  const auto rows_from = [&](std::int64_t output) {
    return a.outputs - output < panel_rows ? a.outputs - output : panel_rows;
  };
  for (std::int64_t item = begin; item < end; ++item) {
    const std::int64_t output = item * panel_rows, rows = rows_from(output);
    alignas(64) float scales[cpu::kBf16PanelRows];
    for (std::int64_t r = 0; r < rows; ++r) {
      bf16_panel_row(a, output + r, panel, r, spare);
      scales[r] = output_scale(a, output + r);
    }
    // Rows that fill the last group: any do that can be read.
    for (std::int64_t r = rows; r % cpu::kBf16GroupRows; ++r)
      bf16_panel_row(a, output, panel, r, spare);
    const auto store = [&](std::int64_t token, const float* values) {
      alignas(64) float scaled[cpu::kBf16PanelRows];
      for_each_vector(rows, [&](std::int64_t i, int n) {
        store_part(scaled + i, load_part(values + i, n) * load_part(scales + i, n), n);
      });
      write_outputs(a, token, output, rows, scaled);
    };
    cpu::bf16_product(tokens, panel, rows, bytes_ahead(a, output + rows, rows_from(output + rows)),
                      sums, store);
  }
}

inline const LinearPath kBf16PanelPath = {
    "bf16 panel",
    [](const LinearArgs& a) { return cpu::Bf16Tokens::bytes(a.tokens, a.inputs); },
    [](const LinearArgs& a) { return a.tokens; },
    bf16_panel_stage,
    [](const LinearArgs& a) { return ceil_div(a.outputs, cpu::bf16_panel_rows(a.inputs)); },
    bf16_panel_scratch_bytes,
    bf16_panel_run};

}  // namespace
}  // namespace quanthost::quanto
