// Small files that readers see whole or not at all.
#pragma once

#include <filesystem>
#include <string_view>

namespace quanthost {

// Writes beside the file and renames; creates missing directories for this user alone. Throws kOs.
void write_file_atomically(const std::filesystem::path& file, std::string_view content);

}  // namespace quanthost
