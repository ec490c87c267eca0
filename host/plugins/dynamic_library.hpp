// Opened shared libraries. Boost.DLL stays behind this door.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace quanthost {

// The names of a library's sections, as boost::dll::library_info lists them. It trusts what it
// reads: give it only files whose section table was checked. Throws kValue when it cannot be read.
std::vector<std::string> section_names(const std::filesystem::path& path);

// A library that stays mapped: opened with every symbol resolved and none shared with others.
// Closed again only when discarded before any of its functions was called.
class DynamicLibrary {
 public:
  explicit DynamicLibrary(
      const std::filesystem::path& absolute_path);  // throws kOs with the loader's own words
  ~DynamicLibrary();
  DynamicLibrary(DynamicLibrary&&) noexcept;
  DynamicLibrary& operator=(DynamicLibrary&&) = delete;

  void* symbol(const char* name) const;  // null when it exports no such symbol
  void keep_for_ever();                  // from here on nothing unmaps it

 private:
  void* library_;  // boost::dll::shared_library; null after a move or keep_for_ever
  void* kept_;     // the same, for symbol()
};

}  // namespace quanthost
