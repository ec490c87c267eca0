// A whole GGUF file: its tables, the model and the tokenizer they describe, and the values of its
// tensors.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>

#include "host/base/error.hpp"
#include "host/checkpoint/gguf_architecture.hpp"
#include "host/checkpoint/gguf_file.hpp"
#include "host/checkpoint/gguf_tokenizer.hpp"

namespace {

using namespace quanthost;

template <typename Action>
void attempt(const Action& action) {
  try {
    action();
  } catch (const Error&) {  // refused with a reason
  }
}

void read_all(const GgufFile& file) {
  attempt([&] { describe_gguf_model(file); });
  attempt(
      [&] { parse_json(read_gguf_tokenizer(file.metadata()).tokenizer_json, "tokenizer.json"); });
  for (const GgufTensor& tensor : file.tensors()) {
    std::vector<float> values(tensor.elements());
    dequantize(tensor.type, file.view(tensor), values);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const int descriptor = ::memfd_create("gguf", MFD_CLOEXEC);
  if (descriptor < 0 || ::write(descriptor, data, size) != static_cast<ssize_t>(size)) std::abort();
  attempt([&] { read_all(GgufFile::open("/proc/self/fd/" + std::to_string(descriptor))); });
  ::close(descriptor);
  return 0;
}
