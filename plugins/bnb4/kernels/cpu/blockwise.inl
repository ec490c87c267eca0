// Quantizing and dequantizing full blocks over a vector type V. Included like linear.inl.
//
// V gives: Bins bins(type); max_abs(source, count, &has_nan); encode32(source, scale, bins, out):
// 32 elements to 16 bytes; dequantize(packed, count, codes, scale, out, stream) for each element
// type.

template <class V, class T>
void quantize_typed(const QuantizeArgs& args, int64_t begin, int64_t end) {
  const auto bins = V::bins(args.quant_type);
  for (int64_t block = begin; block < end; ++block) {
    const T* source = static_cast<const T*>(args.source) + block * args.blocksize;
    uint8_t* out = args.packed + block * args.blocksize / 2;
    bool has_nan = false;
    const float absmax = V::max_abs(source, args.blocksize, &has_nan);
    if (has_nan) {
      const uint8_t code = encode_cpu(detail::f(0x7fc00000), args.quant_type);
      args.absmax[block] = detail::f(0x7fc00000);
      for (int64_t i = 0; i < args.blocksize / 2; ++i)
        out[i] = static_cast<uint8_t>(code << 4 | code);
      continue;
    }
    args.absmax[block] = absmax;
    const float scale = 1.0f / (absmax < kSmallestAbsmax ? kSmallestAbsmax : absmax);
    for (int64_t i = 0; i < args.blocksize; i += 32)
      V::encode32(source + i, scale, bins, out + i / 2);
  }
}

template <class V>
void quantize_run(const QuantizeArgs& args, int64_t begin, int64_t end) {
  switch (args.type) {
    case FloatType::kFloat32:
      return quantize_typed<V, float>(args, begin, end);
    case FloatType::kFloat16:
      return quantize_typed<V, Half>(args, begin, end);
    case FloatType::kBfloat16:
      return quantize_typed<V, Bfloat>(args, begin, end);
  }
}

template <class V, class T>
void dequantize_typed(const DequantizeArgs& args, int64_t begin, int64_t end) {
  const auto codes = V::value_codes(args.quant_type);
  for (int64_t block = begin; block < end; ++block) {
    const uint8_t* packed = args.packed + block * args.blocksize / 2;
    T* out = static_cast<T*>(args.out) + block * args.blocksize;
    V::dequantize(packed, args.blocksize, codes, args.absmax[block - args.first_block], out,
                  args.stream);
  }
  V::fence();
}

template <class V>
void dequantize_run(const DequantizeArgs& args, int64_t begin, int64_t end) {
  switch (args.type) {
    case FloatType::kFloat32:
      return dequantize_typed<V, float>(args, begin, end);
    case FloatType::kFloat16:
      return dequantize_typed<V, Half>(args, begin, end);
    case FloatType::kBfloat16:
      return dequantize_typed<V, Bfloat>(args, begin, end);
  }
}

inline void expand_run(const NestedScales& nested, int64_t begin, int64_t end, float* out) {
  for (int64_t block = begin / nested.blocksize; block * nested.blocksize < end; ++block) {
    const int64_t first = block * nested.blocksize < begin ? begin : block * nested.blocksize;
    const int64_t last =
        (block + 1) * nested.blocksize < end ? (block + 1) * nested.blocksize : end;
    const float scale = nested.absmax[block];
    // Two roundings, as LibTorch's multiplication and addition have.
    for (int64_t i = first; i < last; ++i)
      out[i - begin] = nested.map[nested.codes[i]] * scale + nested.offset;
  }
}
