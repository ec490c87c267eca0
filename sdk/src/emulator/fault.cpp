#include "fault.hpp"

namespace quanthost::gpu::emulated {

std::string to_text(const Size3& index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," +
         std::to_string(index.z) + ")";
}

std::string to_text(const Site& site) {
  return std::string(site.file_name()) + ":" + std::to_string(site.line());
}

std::string describe(const Self& thread, const Site& site, const std::string& what) {
  return "thread " + to_text(thread.thread) + " of block " + to_text(thread.block) + " at " +
         to_text(site) + " in `" + site.function_name() + "`: " + what;
}

}  // namespace quanthost::gpu::emulated
