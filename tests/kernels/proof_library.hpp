// Opens one of the proof plugins as the host does and calls its table, with memory that is freed
// and errors that are exceptions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "examples/kernels/proof_kernels.h"
#include "host/plugins/plugin_host.hpp"
#include "tests/folders.hpp"

namespace quanthost::testing {

class ProofLibrary {
 public:
  explicit ProofLibrary(const std::string& target) : file_(file_of(target)) {
    if (!std::filesystem::exists(file_)) {
      why_not_ = file_.filename().string() + " is not part of this build: its compiler is missing";
      return;
    }
    try {
      PluginHost host(options());
      const PluginRecord& record = host.find_plugin(file_);
      table_ = static_cast<const proof_kernels*>(
          LoadedPlugin::open(record.real_path, *record.content.manifest)
              .package("proof-kernels", "org.example.proof-kernels/1", target)
              .table);
    } catch (const Error& error) {
      why_not_ = error.what();
    }
  }

  static std::filesystem::path file_of(const std::string& target) {
    return std::filesystem::path(test::build_folder()) / "plugins" /
           ("proof_kernels_" + target + ".so");
  }
  // Of a host that reads and writes nothing of the user's.
  static PluginHostOptions options() {
    PluginHostOptions options;
    options.trust = TrustPolicy::kOff;
    options.use_cache = false;
    options.probe_before_first_use = false;
    return options;
  }

  const std::string& why_unavailable() const { return why_not_; }  // empty when it works here
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
  std::filesystem::path file_;
  const proof_kernels* table_ = nullptr;
  char error_[1024] = {};
  proof_call call_{nullptr, error_, sizeof error_};
  std::string why_not_;
};

}  // namespace quanthost::testing
