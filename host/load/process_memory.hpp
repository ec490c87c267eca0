// What this process takes of the machine's memory, as the system counts it.
#pragma once

#include <cstdint>

namespace quanthost {

struct ProcessMemory {
  std::uint64_t resident_bytes = 0;   // now: anonymous memory and pages of files
  std::uint64_t anonymous_bytes = 0;  // now: what only this process holds
  std::uint64_t peak_bytes = 0;       // most that was ever resident
};
ProcessMemory process_memory();

// Gives back what nobody uses: free memory that malloc keeps, and the code and constants of large
// libraries, most of which ran once when they were loaded. What is needed again comes back from the
// page cache. Any thread; a few milliseconds.
void release_idle_memory();

}  // namespace quanthost
