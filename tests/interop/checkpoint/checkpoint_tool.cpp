// What the interop tests drive: reads and writes checkpoints, one verb a call.
#include <cstdio>
#include <iostream>
#include <string>

#include "host/base/atomic_output.hpp"
#include "host/base/error.hpp"
#include "host/checkpoint/checkpoint.hpp"
#include "host/checkpoint/checkpoint_writer.hpp"
#include "host/checkpoint/gguf_convert.hpp"

namespace {

using namespace quanthost;

// resave FILE OUT: all tensors and the metadata to a new file.
void resave(const std::string& from, const std::string& to) {
  const auto file = SafetensorsFile::open(from);
  SafetensorsWriter writer(to, {file.tensors().begin(), file.tensors().end()}, file.metadata());
  for (const TensorInfo& tensor : file.tensors()) writer.write(tensor.name, file.view(tensor));
  writer.finish();
}

// reshard CHECKPOINT OUT BYTES: the same tensors in shards of at most so many bytes.
void reshard(const std::string& from, const std::string& to, std::uint64_t max_shard_bytes) {
  const auto checkpoint = Checkpoint::open(from);
  AtomicOutput output(to, OutputKind::kDirectory);
  CheckpointWriterOptions options;
  options.max_shard_bytes = max_shard_bytes;
  std::vector<TensorDeclaration> declarations;
  for (const StoredTensor& tensor : checkpoint.tensors()) declarations.push_back(tensor.info());
  CheckpointWriter writer(output.path(), declarations, options);
  for (const TensorInfo& tensor : writer.tensors()) {
    std::vector<std::byte> bytes(tensor.bytes());
    checkpoint.at(tensor.name).read(bytes);
    writer.write(tensor.name, bytes);
  }
  writer.finish();
  if (checkpoint.config() != nullptr)
    write_json_file(output.path() / "config.json", *checkpoint.config());
  output.commit();
}

// accepts: file names on stdin, one a line; 1 or 0 on stdout for each, then what was wrong.
void accepts() {
  for (std::string path; std::getline(std::cin, path);) {
    try {
      SafetensorsFile::open(path);
      std::puts("1");
    } catch (const Error& e) {
      std::printf("0 %s\n", e.message().c_str());
    }
  }
}

void convert(const std::string& from, const std::string& to, const std::string& dtype) {
  GgufConvertOptions options;
  options.dtype = dtype_from_torch_name(dtype).value();
  convert_gguf(from, to, options);
}

int run(const std::vector<std::string>& arguments) {
  const std::string verb = arguments.empty() ? "" : arguments[0];
  if (verb == "resave" && arguments.size() == 3) {
    resave(arguments[1], arguments[2]);
  } else if (verb == "reshard" && arguments.size() == 4) {
    reshard(arguments[1], arguments[2], std::stoull(arguments[3]));
  } else if (verb == "accepts" && arguments.size() == 1) {
    accepts();
  } else if (verb == "convert" && arguments.size() == 4) {
    convert(arguments[1], arguments[2], arguments[3]);
  } else {
    std::fprintf(stderr, "checkpoint_tool resave|reshard|accepts|convert, see the source\n");
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
