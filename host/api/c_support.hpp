// What the C functions share: no exception leaves, errors become objects, structs are read by their
// size.
#pragma once

#include <quanthost/quanthost.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <quanthost/host.hpp>
#include <string>
#include <vector>

struct quanthost_error {
  quanthost::ErrorKind kind;
  std::string message, remedy;
};
struct quanthost_cancel {
  quanthost::api::CancelSource source;
};
struct quanthost_host {
  quanthost::api::Host host;
};
struct quanthost_model {
  quanthost::api::Model model;
};

namespace quanthost::api {

quanthost_status fail_with(quanthost_error** out, ErrorKind kind, const char* message,
                           const char* remedy) noexcept;

// Runs the body of a C function.
template <typename Body>
quanthost_status c_call(quanthost_error** error, Body&& body) noexcept {
  if (error) *error = nullptr;
  try {
    body();
    return QUANTHOST_OK;
  } catch (const Error& e) {
    return fail_with(error, e.kind(), e.message().c_str(), e.hint().c_str());
  } catch (const std::bad_alloc&) {
    return fail_with(error, ErrorKind::kMemory, "out of memory", "");
  } catch (const std::exception& e) {
    return fail_with(error, ErrorKind::kRuntime, e.what(), "");
  } catch (...) {
    return fail_with(error, ErrorKind::kInternal, "an exception of unknown type was thrown", "");
  }
}

template <typename T>
T& need(T* pointer, const char* what) {
  if (!pointer) fail(ErrorKind::kValue, "{} is NULL", what);
  return *pointer;
}
inline std::string need_text(const char* text, const char* what) { return &need(text, what); }
inline std::string text_or(const char* text, const char* otherwise = "") {
  return text ? text : otherwise;
}

constexpr std::uint32_t kSmallestStruct = 8;  // struct_size and the member beside it

// The caller's options as far as both sides know them; zeros for the rest, and for NULL.
template <typename Options>
Options read_options(const Options* theirs, const char* what) {
  Options mine{};
  if (!theirs) return mine;
  if (theirs->struct_size < kSmallestStruct) {
    throw Error(ErrorKind::kValue, fmt::format("{}: struct_size is {}", what, theirs->struct_size),
                "set it to sizeof the struct");
  }
  std::memcpy(&mine, theirs, std::min<std::size_t>(theirs->struct_size, sizeof mine));
  return mine;
}

// Fills the caller's struct as far as it reaches. Its struct_size stays.
template <typename Result>
void write_result(Result* theirs, Result mine, const char* what) {
  if (theirs->struct_size < kSmallestStruct) {
    throw Error(ErrorKind::kValue, fmt::format("{}: struct_size is {}", what, theirs->struct_size),
                "set it to sizeof the struct");
  }
  mine.struct_size = theirs->struct_size;
  std::memcpy(theirs, &mine, std::min<std::size_t>(theirs->struct_size, sizeof mine));
}

inline void refuse_unknown_flags(std::uint32_t flags, std::uint32_t known, const char* what) {
  if (flags & ~known) {
    throw Error(
        ErrorKind::kNotImplemented,
        fmt::format("{}: the flags {:#x} are not known to this library", what, flags & ~known),
        "use a newer libquanthost, or clear them");
  }
}

inline std::vector<const char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<const char*> out;
  out.reserve(texts.size());
  for (const std::string& text : texts) out.push_back(text.c_str());
  return out;
}

ProgressCallback progress_callback(quanthost_progress_fn fn, void* user);
LoadOptions load_options_of(const quanthost_load_options* options);
SaveOptions save_options_of(const quanthost_save_options* options);

}  // namespace quanthost::api
