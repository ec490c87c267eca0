// Opens one of the proof libraries and calls its table, with memory that is freed and errors that
// are exceptions.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "examples/kernels/proof_kernels.h"

namespace quanthost::testing {

class ProofLibrary {
 public:
  explicit ProofLibrary(const std::string& target) {
    const std::string path =
        std::string(QH_TEST_BINARY_DIR) + "/lib/proof_kernels_" + target + ".so";
    library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr) {
      why_not_ = dlerror();
      return;
    }
    const auto entry =
        reinterpret_cast<const proof_kernels* (*)()>(dlsym(library_, "proof_kernels_v1"));
    table_ = entry();
    call_ = {nullptr, error_, sizeof error_};
    if (table_->probe(&call_) != 0) why_not_ = error_;
  }

  const std::string& why_unavailable() const { return why_not_; }  // empty when it works here
  bool is_open() const { return table_ != nullptr; }
  const proof_kernels& table() const { return *table_; }
  void set_stream(void* stream) { call_.stream = stream; }

  template <class Function, class... Arguments>
  void call(Function function, Arguments... arguments) {
    if (function(&call_, arguments...) != 0) throw std::runtime_error(error_);
  }

  // Device memory for the length of a test.
  template <class T>
  class Memory {
   public:
    Memory(ProofLibrary& library, const std::vector<T>& values)
        : library_(library), count_(values.size()) {
      library_.call(library_.table().allocate, count_ * sizeof(T),
                    reinterpret_cast<void**>(&data_));
      library_.call(library_.table().upload, static_cast<void*>(data_),
                    static_cast<const void*>(values.data()), count_ * sizeof(T));
    }
    Memory(ProofLibrary& library, std::size_t count) : Memory(library, std::vector<T>(count)) {}
    ~Memory() { library_.table().release(data_); }
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    T* data() const { return data_; }
    std::vector<T> read() const {
      std::vector<T> values(count_);
      library_.call(library_.table().download, static_cast<void*>(values.data()),
                    static_cast<const void*>(data_), count_ * sizeof(T));
      return values;
    }

   private:
    ProofLibrary& library_;
    T* data_ = nullptr;
    std::size_t count_;
  };

 private:
  void* library_ = nullptr;  // never closed, as the host never closes a plugin
  const proof_kernels* table_ = nullptr;
  proof_call call_{};
  char error_[1024] = {};
  std::string why_not_;
};

}  // namespace quanthost::testing
