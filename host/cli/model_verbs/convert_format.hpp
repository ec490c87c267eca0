// A quantized checkpoint from one format of its method to another.
#pragma once

#include <string>

#include "host/cli/session.hpp"

namespace quanthost::cli {

// Loads the folder `from` and saves it as `to` in `format`, one of GPTQ's: gptq, gptq_v2, gptq_p.
int convert_format(Session& session, const std::string& from, const std::string& to,
                   const std::string& format);

}  // namespace quanthost::cli
