#include "host/plugins/dynamic_library.hpp"

#include <dlfcn.h>

#include <boost/dll/library_info.hpp>
#include <boost/dll/shared_library.hpp>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "host/base/error.hpp"

namespace quanthost {
namespace {

using Library = boost::dll::shared_library;

const Library& library(void* handle) { return *static_cast<Library*>(handle); }

}  // namespace

std::vector<std::string> section_names(const std::filesystem::path& path) {
  try {
    return boost::dll::library_info(path).sections();
  } catch (const std::exception& e) {
    fail(ErrorKind::kValue, "its sections cannot be listed: {}", e.what());
  }
}

DynamicLibrary::DynamicLibrary(const std::filesystem::path& absolute_path) {
  using Mode = boost::dll::load_mode::type;
  auto opened = std::make_unique<Library>();
  boost::dll::fs::error_code error;
  opened->load(absolute_path, Mode::rtld_now | Mode::rtld_local, error);
  if (error) {
    const char* words = ::dlerror();  // Boost keeps the loader's words for us only as an error code
    fail(ErrorKind::kOs, "the loader refuses it: {}", words ? words : error.message().c_str());
  }
  library_ = kept_ = opened.release();
}

DynamicLibrary::~DynamicLibrary() { delete static_cast<Library*>(library_); }

DynamicLibrary::DynamicLibrary(DynamicLibrary&& other) noexcept
    : library_(std::exchange(other.library_, nullptr)),
      kept_(std::exchange(other.kept_, nullptr)) {}

void* DynamicLibrary::symbol(const char* name) const {
  if (!library(kept_).has(name)) return nullptr;
  return reinterpret_cast<void*>(&library(kept_).get<char>(name));
}

void DynamicLibrary::keep_for_ever() {
  // Still pointed to when the process ends, so that leak checkers see it is meant.
  static std::mutex mutex;
  static auto* const kept_for_ever = new std::vector<void*>;
  const std::lock_guard lock(mutex);
  kept_for_ever->push_back(std::exchange(library_, nullptr));
}

}  // namespace quanthost
