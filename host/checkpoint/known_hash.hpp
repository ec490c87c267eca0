// The hash that a download left behind, beside a file or in its name.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace quanthost {

// The SHA-256 that a file must have, in hexadecimal: its name in a Hugging Face cache, to which
// models--…/snapshots/… is a link, or the one noted in .cache/huggingface/download/ of a folder
// that was downloaded into. Nothing where nobody noted one: the safetensors format itself holds
// none.
std::optional<std::string> known_sha256(const std::filesystem::path& file);

}  // namespace quanthost
