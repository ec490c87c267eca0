// A disk that cannot read: pread of this process fails with EIO, once.
#pragma once

namespace quanthost {

class FailingReads {
 public:
  explicit FailingReads(int after);  // as many reads go well first
  FailingReads(const FailingReads&) = delete;
  FailingReads& operator=(const FailingReads&) = delete;
  ~FailingReads();
};

}  // namespace quanthost
