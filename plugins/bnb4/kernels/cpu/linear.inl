// The forward product and the input gradient over a vector type V. Included by one translation unit
// for each instruction set, inside an unnamed namespace.
//
// V gives: Element (staged and decoded), Register, Accumulator, kStep (elements a Register holds),
// kTileBatch; zero, load, dot(acc, a, b), scale_add(acc, part, scale), sum; Codes and Lookup with
// codes(type), lookup(codes, scale) and decode(lookup, packed, even, odd), which turns kStep bytes
// into two registers; store.

constexpr int64_t kPanelRows = 4;

template <class V>
constexpr int64_t kGroup = 2 * V::kStep;

template <class V>
int64_t padded(int64_t columns) {
  return (columns + kGroup<V> - 1) / kGroup<V> * kGroup<V>;
}

template <class V>
int64_t linear_staged_bytes(int64_t batch, int64_t columns) {
  return batch * padded<V>(columns) * static_cast<int64_t>(sizeof(typename V::Element));
}

template <class V>
int64_t linear_scratch_bytes(int64_t, int64_t columns) {
  return kPanelRows * padded<V>(columns) *
         static_cast<int64_t>(sizeof(typename V::Element) + sizeof(float));
}

// Position in a staged row of the element `column`.
template <class V>
int64_t staged_position(Order order, int64_t column) {
  if (order == Order::kNatural) return column;
  const int64_t group = column / kGroup<V> * kGroup<V>;
  const int64_t within = column % kGroup<V>;
  return group + within / 2 + (within % 2) * V::kStep;
}

template <class V>
void linear_stage(const StageArgs& args, int64_t row_begin, int64_t row_end) {
  const int64_t stride = padded<V>(args.columns);
  for (int64_t row = row_begin; row < row_end; ++row) {
    auto* out = static_cast<typename V::Element*>(args.out) + row * stride;
    for (int64_t column = args.columns; column < stride; ++column) {
      from_float(0.0f, &out[staged_position<V>(args.order, column)]);
    }
    for (int64_t column = 0; column < args.columns; ++column) {
      const float value =
          rounded_to(args.compute, load_value(args.rows, args.type, row * args.columns + column));
      from_float(value, &out[staged_position<V>(args.order, column)]);
    }
  }
}

// Decodes columns [begin, end) of one row, whole blocks, in split order.
template <class V>
void decode_row_split(const PackedMatrix& weight, const typename V::Codes& codes, int64_t row,
                      int64_t begin, int64_t end, typename V::Element* out) {
  const int64_t start = row * weight.columns;
  for (int64_t block = begin; block < end; block += weight.blocksize) {
    const auto lookup =
        V::lookup(codes, weight.absmax[(start + block) / weight.blocksize - weight.first_block]);
    const int64_t block_end = block + weight.blocksize < end ? block + weight.blocksize : end;
    for (int64_t column = block; column < block_end; column += kGroup<V>) {
      typename V::Register even, odd;
      V::decode(lookup, weight.packed + (start + column) / 2, &even, &odd);
      V::store(out, even);
      V::store(out + V::kStep, odd);
      out += kGroup<V>;
    }
  }
}

// Any shape: through the flat scalar decoder, padded with zeros.
template <class V>
void decode_row_natural(const PackedMatrix& weight, int64_t row, float* scratch,
                        typename V::Element* out) {
  const int64_t stride = padded<V>(weight.columns);
  decode_elements(weight, row * weight.columns, weight.columns, scratch);
  for (int64_t i = 0; i < weight.columns; ++i) from_float(scratch[i], &out[i]);
  for (int64_t i = weight.columns; i < stride; ++i) from_float(0.0f, &out[i]);
}

template <class V, int B, int R>
void dot_tile(const LinearArgs& args, int64_t batch_row, int64_t weight_row,
              const typename V::Element* panel) {
  const int64_t stride = padded<V>(args.weight.columns);
  const auto* input = static_cast<const typename V::Element*>(args.input) + batch_row * stride;
  typename V::Accumulator sums[B][R];
  for (int b = 0; b < B; ++b) {
    for (int r = 0; r < R; ++r) sums[b][r] = V::zero();
  }
  for (int64_t k = 0; k < stride; k += V::kStep) {
    typename V::Register w[R];
    for (int r = 0; r < R; ++r) w[r] = V::load(panel + r * stride + k);
    for (int b = 0; b < B; ++b) {
      const auto x = V::load(input + b * stride + k);
      for (int r = 0; r < R; ++r) sums[b][r] = V::dot(sums[b][r], x, w[r]);
    }
  }
  for (int b = 0; b < B; ++b) {
    for (int r = 0; r < R; ++r)
      store_output(args, batch_row + b, weight_row + r, V::sum(sums[b][r]));
  }
}

// The last rows of a batch, at most B of them, as one tile.
template <class V, int B, int R>
void dot_rest(const LinearArgs& args, int64_t batch_row, int64_t weight_row,
              const typename V::Element* panel) {
  if (args.batch - batch_row == B) return dot_tile<V, B, R>(args, batch_row, weight_row, panel);
  if constexpr (B > 1) dot_rest<V, B - 1, R>(args, batch_row, weight_row, panel);
}

template <class V, int R>
void dot_panel(const LinearArgs& args, int64_t weight_row, const typename V::Element* panel) {
  int64_t row = 0;
  for (; row + V::kTileBatch <= args.batch; row += V::kTileBatch) {
    dot_tile<V, V::kTileBatch, R>(args, row, weight_row, panel);
  }
  if (row < args.batch) dot_rest<V, V::kTileBatch - 1, R>(args, row, weight_row, panel);
}

// A few input rows: codes go straight from memory into the product, and block scales apply to
// float32 partial sums.
template <class V, int B, int R>
void gemv_rows(const LinearArgs& args, const typename V::Codes& codes, int64_t weight_row) {
  const PackedMatrix& weight = args.weight;
  const int64_t stride = padded<V>(weight.columns);
  const int64_t row_bytes = weight.columns / 2;
  const int64_t row_blocks = weight.columns / weight.blocksize;
  const auto lookup = V::lookup(codes, 1.0f);
  const auto* input = static_cast<const typename V::Element*>(args.input);
  const uint8_t* packed = weight.packed + weight_row * row_bytes;
  const float* absmax = weight.absmax + (weight_row * row_blocks - weight.first_block);
  typename V::Accumulator sums[B][R];
  for (int b = 0; b < B; ++b) {
    for (int r = 0; r < R; ++r) sums[b][r] = V::zero();
  }
  for (int64_t block = 0; block < row_blocks; ++block) {
    typename V::Accumulator parts[B][R];
    for (int b = 0; b < B; ++b) {
      for (int r = 0; r < R; ++r) parts[b][r] = V::zero();
    }
    for (int64_t column = block * weight.blocksize; column < (block + 1) * weight.blocksize;
         column += kGroup<V>) {
      for (int r = 0; r < R; ++r) {
        const uint8_t* at = packed + r * row_bytes + column / 2;
        // The next rows: the processor's own prefetching ends with a page, and so often a row.
        V::prefetch(at + R * row_bytes);
        typename V::Register even, odd;
        V::decode(lookup, at, &even, &odd);
        for (int b = 0; b < B; ++b) {
          const auto* x = input + b * stride + column;
          parts[b][r] = V::dot(V::dot(parts[b][r], V::load(x), even), V::load(x + V::kStep), odd);
        }
      }
    }
    for (int b = 0; b < B; ++b) {
      for (int r = 0; r < R; ++r)
        sums[b][r] = V::scale_add(sums[b][r], parts[b][r], absmax[r * row_blocks + block]);
    }
  }
  for (int b = 0; b < B; ++b) {
    for (int r = 0; r < R; ++r) store_output(args, b, weight_row + r, V::sum(sums[b][r]));
  }
}

template <class V, int B, int R>
void gemv_range(const LinearArgs& args, int64_t begin, int64_t end) {
  const auto codes = V::codes(args.weight.type);
  int64_t row = begin;
  for (; row + R <= end; row += R) gemv_rows<V, B, R>(args, codes, row);
  for (; row < end; ++row) gemv_rows<V, B, 1>(args, codes, row);
}

template <class V>
void linear_run(const LinearArgs& args, int64_t begin, int64_t end, void* scratch) {
  if (args.order == Order::kSplit && args.batch <= 4) {
    switch (args.batch) {
      case 1:
        return gemv_range<V, 1, 4>(args, begin, end);
      case 2:
        return gemv_range<V, 2, 2>(args, begin, end);
      case 3:
        return gemv_range<V, 3, 2>(args, begin, end);
      default:
        return gemv_range<V, 4, 2>(args, begin, end);
    }
  }
  const auto codes = V::codes(args.weight.type);
  const int64_t stride = padded<V>(args.weight.columns);
  auto* panel = static_cast<typename V::Element*>(scratch);
  auto* flat = reinterpret_cast<float*>(panel + kPanelRows * stride);
  for (int64_t row = begin; row < end; row += kPanelRows) {
    const int64_t rows = end - row < kPanelRows ? end - row : kPanelRows;
    for (int64_t r = 0; r < rows; ++r) {
      if (args.order == Order::kSplit) {
        decode_row_split<V>(args.weight, codes, row + r, 0, args.weight.columns,
                            panel + r * stride);
      } else {
        decode_row_natural<V>(args.weight, row + r, flat, panel + r * stride);
      }
    }
    if (rows == kPanelRows) {
      dot_panel<V, kPanelRows>(args, row, panel);
    } else {
      for (int64_t r = 0; r < rows; ++r) dot_panel<V, 1>(args, row + r, panel + r * stride);
    }
  }
}

template <class V>
constexpr LinearKernel linear_kernel() {
  return {kGroup<V>,
          kPanelRows,
          1,
          1,
          false,
          linear_staged_bytes<V>,
          linear_stage<V>,
          linear_scratch_bytes<V>,
          linear_run<V>};
}

// -- input gradient: grad_input[b, k] = sum over n of grad_output[b, n] * weight[n, k], V of
// float32

// Adds `rows` weight rows to one batch row's columns; four registers of columns at a time.
template <class V>
void backward_accumulate(const float* grad, int64_t rows, const float* panel, float* sums) {
  constexpr int kWide = 4;
  for (int64_t column = 0; column < kBackwardColumns; column += kWide * V::kStep) {
    typename V::Register part[kWide];
    for (int i = 0; i < kWide; ++i) part[i] = V::load(sums + column + i * V::kStep);
    for (int64_t n = 0; n < rows; ++n) {
      const auto g = V::broadcast(grad[n]);
      for (int i = 0; i < kWide; ++i) {
        part[i] = V::dot(part[i], g, V::load(panel + n * kBackwardColumns + column + i * V::kStep));
      }
    }
    for (int i = 0; i < kWide; ++i) V::store(sums + column + i * V::kStep, part[i]);
  }
}

// Decodes columns [begin, end) of weight rows [row, row + rows) into the panel, which is
// kBackwardColumns wide.
template <class V>
Order backward_decode(const PackedMatrix& weight, int64_t row, int64_t rows, int64_t begin,
                      int64_t end, float* panel) {
  const int64_t width = end - begin;
  const bool split = weight.columns % weight.blocksize == 0 && width % kGroup<V> == 0 &&
                     begin % weight.blocksize == 0;
  const auto codes = V::codes(weight.type);
  for (int64_t r = 0; r < rows; ++r) {
    float* out = panel + r * kBackwardColumns;
    if (split) {
      decode_row_split<V>(weight, codes, row + r, begin, end, out);
    } else {
      decode_elements(weight, (row + r) * weight.columns + begin, width, out);
    }
    for (int64_t i = width; i < kBackwardColumns; ++i) out[i] = 0.0f;
  }
  return split ? Order::kSplit : Order::kNatural;
}

template <class V>
void backward_columns(const BackwardArgs& args, int64_t begin, int64_t end, float* panel,
                      float* sums) {
  constexpr int64_t kRows = 64;
  for (int64_t first = 0; first < args.batch; first += kBackwardBatch) {
    const int64_t batch = args.batch - first < kBackwardBatch ? args.batch - first : kBackwardBatch;
    for (int64_t i = 0; i < batch * kBackwardColumns; ++i) sums[i] = 0.0f;
    Order order = Order::kNatural;
    for (int64_t row = 0; row < args.weight.rows; row += kRows) {
      const int64_t rows = args.weight.rows - row < kRows ? args.weight.rows - row : kRows;
      order = backward_decode<V>(args.weight, row, rows, begin, end, panel);
      for (int64_t b = 0; b < batch; ++b) {
        backward_accumulate<V>(args.grad_output + (first + b) * args.weight.rows + row, rows, panel,
                               sums + b * kBackwardColumns);
      }
    }
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t column = begin; column < end; ++column) {
        store_value(args.grad_input, args.output_type, (first + b) * args.weight.columns + column,
                    sums[b * kBackwardColumns + staged_position<V>(order, column - begin)]);
      }
    }
  }
}

template <class V>
void backward_run(const BackwardArgs& args, int64_t begin, int64_t end, void* scratch) {
  auto* panel = static_cast<float*>(scratch);
  float* sums = panel + 64 * kBackwardColumns;
  for (int64_t column = begin; column < end; column += kBackwardColumns) {
    backward_columns<V>(args, column,
                        column + kBackwardColumns < end ? column + kBackwardColumns : end, panel,
                        sums);
  }
}
