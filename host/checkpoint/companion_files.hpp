// The files beside the tensors that belong to a model and stay the same when its weights are
// written anew.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace quanthost {

// Copies tokenizer, chat template, image processor and generation settings, where they are there;
// never tensors, config.json, or files of a quantizer, which whoever writes the weights decides on.
// Returns the names copied.
std::vector<std::string> copy_companion_files(const std::filesystem::path& from,
                                              const std::filesystem::path& to);

}  // namespace quanthost
