#include "host/checkpoint/gguf_convert.hpp"

#include <algorithm>

#include "host/base/atomic_output.hpp"
#include "host/base/error.hpp"
#include "host/checkpoint/checkpoint_writer.hpp"
#include "host/checkpoint/float_bits.hpp"
#include "host/checkpoint/gguf_architecture.hpp"
#include "host/checkpoint/gguf_file.hpp"
#include "host/checkpoint/gguf_tokenizer.hpp"

namespace quanthost {
namespace {

// Elements dequantized at once: large enough to be fast, small enough to stay in the cache.
constexpr std::uint64_t kChunkElements = 1 << 16;

// The row of the stored tensor that belongs in row `row`. ggml's rotary embedding pairs neighbours
// (2i, 2i + 1) of a head, Hugging Face's pairs i with i + half.
std::uint64_t stored_row(std::uint64_t row, std::uint64_t rows_per_head) {
  const std::uint64_t half = rows_per_head / 2;
  const std::uint64_t within = row % rows_per_head;
  return row - within + within % half * 2 + within / half;
}

class TensorConverter {
 public:
  TensorConverter(const GgufFile& file, Dtype dtype) : file_(file), dtype_(dtype) {}

  // The whole tensor in the target's dtype; valid until the next call.
  std::span<const std::byte> convert(const GgufMapping& mapping) {
    const GgufTensor& source = *mapping.source;
    const std::uint64_t rows =
        mapping.interleaved_heads == 0 ? 1 : static_cast<std::uint64_t>(mapping.target.shape[0]);
    const std::uint64_t row_elements = source.elements() / rows;
    const std::uint64_t rows_per_head =
        mapping.interleaved_heads == 0 ? 0 : rows / mapping.interleaved_heads;
    output_.resize(source.elements() * element_bytes());
    for (std::uint64_t row = 0; row < rows; ++row) {
      const std::uint64_t from = rows_per_head == 0 ? row : stored_row(row, rows_per_head);
      convert_elements(source, from * row_elements, row * row_elements, row_elements);
    }
    return output_;
  }

 private:
  std::uint64_t element_bytes() const { return static_cast<std::uint64_t>(bits_of(dtype_)) / 8; }

  void convert_elements(const GgufTensor& source, std::uint64_t from, std::uint64_t to,
                        std::uint64_t count) {
    const GgmlTypeInfo& type = info_of(source.type);
    for (std::uint64_t done = 0; done < count; done += floats_.size()) {
      floats_.resize(std::min(kChunkElements, count - done));
      const auto blocks =
          file_.view(source).subspan((from + done) / type.block_elements * type.block_bytes,
                                     floats_.size() / type.block_elements * type.block_bytes);
      dequantize(source.type, blocks, floats_);
      store(to + done);
    }
  }

  void store(std::uint64_t first_element) {
    std::byte* out = output_.data() + first_element * element_bytes();
    if (dtype_ == Dtype::kF32) {
      std::memcpy(out, floats_.data(), floats_.size() * sizeof(float));
      return;
    }
    for (std::size_t i = 0; i < floats_.size(); ++i) {
      const std::uint16_t bits = bf16_from_float(floats_[i]);
      std::memcpy(out + 2 * i, &bits, sizeof bits);
    }
  }

  const GgufFile& file_;
  Dtype dtype_;
  std::vector<float> floats_;
  std::vector<std::byte> output_;
};

void write_tensors(const GgufFile& file, const GgufModel& model,
                   const std::filesystem::path& directory, const GgufConvertOptions& options,
                   const ByteProgress& progress) {
  std::vector<TensorDeclaration> declarations;
  std::uint64_t total = 0;
  for (const GgufMapping& mapping : model.tensors) {
    declarations.push_back(mapping.target);
    declarations.back().dtype = options.dtype;
    total += storage_bytes(options.dtype, mapping.target.shape);
  }
  CheckpointWriterOptions writer_options;
  writer_options.max_shard_bytes = options.max_shard_bytes;
  CheckpointWriter writer(directory, std::move(declarations), writer_options);
  TensorConverter converter(file, options.dtype);
  std::uint64_t done = 0;
  report(progress, done, total);
  for (const GgufMapping& mapping : model.tensors) {
    const auto bytes = converter.convert(mapping);
    writer.write(mapping.target.name, bytes);
    file.done_with(*mapping.source);
    done += bytes.size();
    report(progress, done, total);
  }
  writer.finish();
}

Json ids_or_id(const std::vector<std::uint64_t>& ids) {
  return ids.size() == 1 ? Json(ids.front()) : Json(ids);
}

}  // namespace

void convert_gguf(const std::filesystem::path& file, const std::filesystem::path& directory,
                  const GgufConvertOptions& options, const ByteProgress& progress) {
  if (options.dtype != Dtype::kBF16 && options.dtype != Dtype::kF32) {
    fail(ErrorKind::kValue, "a GGUF file is converted to bfloat16 or float32, not to {}",
         torch_name(options.dtype));
  }
  const GgufFile gguf = GgufFile::open(file);
  GgufModel model = describe_gguf_model(gguf);
  GgufTokenizer tokenizer;
  try {
    tokenizer = read_gguf_tokenizer(gguf.metadata());
  } catch (const Error& e) {
    throw e.within(file.string());
  }
  model.config["torch_dtype"] = torch_name(options.dtype);
  Json generation = Json::object();
  const auto set_id = [&](const char* key, const std::optional<std::uint64_t>& id) {
    if (id) model.config[key] = generation[key] = *id;
  };
  set_id("bos_token_id", tokenizer.special.bos);
  set_id("eos_token_id", tokenizer.special.eos);
  set_id("pad_token_id", tokenizer.special.padding);
  if (!tokenizer.end_ids.empty()) generation["eos_token_id"] = ids_or_id(tokenizer.end_ids);

  AtomicOutput output(directory, OutputKind::kDirectory);
  write_tensors(gguf, model, output.path(), options, progress);
  write_json_file(output.path() / "config.json", model.config);
  write_json_file(output.path() / "generation_config.json", generation);
  write_json_file(output.path() / "tokenizer_config.json", tokenizer.tokenizer_config);
  write_text_file(output.path() / "tokenizer.json", tokenizer.tokenizer_json);
  output.commit();
}

}  // namespace quanthost
