// What stands behind Host and CancelSource, for the files of this folder. No LibTorch.
#pragma once

#include <quanthost/host.hpp>

#include "host/api/turns.hpp"
#include "host/base/log.hpp"
#include "host/load/cancel.hpp"
#include "host/load/progress.hpp"
#include "host/load/quantization_config.hpp"
#include "host/plugins/plugin_host.hpp"

namespace quanthost::api {

struct Host::State {
  explicit State(HostOptions options);

  const std::shared_ptr<const log::Destination> log;
  mutable Turns turns;
  PluginHost plugins;
};

struct CancelSource::State {
  CancelToken token;
};

struct CancelAccess {
  static const CancelToken& token(const CancelSource& source) { return source.state_->token; }
};

// Work that the application watches and may stop: its own token, which the application's token
// stops too, and the reports. Lives as long as what was made with it.
class Watched {
 public:
  Watched(ProgressCallback callback, CancelSource source);
  // The work is over: the application's callback and its cancel no longer count.
  void release();
  const CancelToken& token() const { return token_; }
  Progress& progress() { return progress_; }

 private:
  CancelSource source_;
  CancelToken token_;
  ProgressCallback callback_;
  Progress progress_;
};

// The fields of the option structs, as errors name them; they are called the same in C.
const OptionNames& option_names();

}  // namespace quanthost::api
