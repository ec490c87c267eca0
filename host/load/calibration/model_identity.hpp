// Tells by their content whether two checkpoints hold the same model.
#pragma once

#include <string>

#include "host/checkpoint/checkpoint.hpp"

namespace quanthost {

// A SHA-256 over every tensor's name, element type and shape, and over the first, middle and last
// 4 KiB of its bytes. Where the files lie, what they are called, when they were written and how the
// tensors are divided between them makes no difference. A change of a few values between the
// samples is not seen: every byte of a large model would take minutes.
std::string model_identity(const Checkpoint& checkpoint);

}  // namespace quanthost
