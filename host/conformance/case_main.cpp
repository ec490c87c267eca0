// quanthost-conformance FILE CASE SEED [PROVIDER_FOLDER…]: runs one conformance case and reports it
// on descriptor 3.
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "host/conformance/suite.hpp"

int main(int argc, char** argv) {
  if (argc < 4) {
    static constexpr char kUsage[] = "quanthost-conformance is started by `quanthost validate`\n";
    (void)!::write(2, kUsage, sizeof kUsage - 1);
    return 2;
  }
  using namespace quanthost::conformance;
  const std::vector<std::filesystem::path> folders(argv + 4, argv + argc);
  const CaseResult result =
      run_case(argv[1], argv[2], std::strtoull(argv[3], nullptr, 10), folders);
  const std::string text =
      to_json(result).dump(-1, ' ', false, quanthost::Json::error_handler_t::replace);
  const bool reported = ::write(3, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  // Without destructors: what is judged is the plugin's behaviour until here, and its library stays
  // mapped.
  ::_exit(reported ? 0 : 1);
}
