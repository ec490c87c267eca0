// Whose fault a failure is, where its kind alone does not tell: the command ends with another exit
// code for each.
#pragma once

#include "host/base/error.hpp"

namespace quanthost {

// An option that the user gave cannot be followed.
class UserOptionError : public Error {
 public:
  using Error::Error;
  explicit UserOptionError(const Error& cause) : Error(cause) {}
};

// What stands in the checkpoint's folder does not make a model: no plugin's and no option's fault.
class CheckpointError : public Error {
 public:
  using Error::Error;
  explicit CheckpointError(const Error& cause) : Error(cause) {}
};

// A device that was named is not there, or cannot be used.
class DeviceError : public Error {
 public:
  using Error::Error;
};

}  // namespace quanthost
