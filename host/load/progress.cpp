#include "host/load/progress.hpp"

namespace quanthost {
namespace {

constexpr auto kBetweenReports = std::chrono::milliseconds(50);
constexpr double kSecondsBeforeRate = 0.2;  // a rate over less would jump about

}  // namespace

void Progress::begin(std::string_view stage, std::string_view unit, std::uint64_t total) {
  std::lock_guard lock(mutex_);
  if (active_) report(true);
  now_ = ProgressReport{};
  now_.stage = stage;
  now_.unit = unit;
  now_.total = total;
  active_ = true;
  began_ = Clock::now();
  report(false);
}

void Progress::update(std::uint64_t done, std::string_view current) {
  if (cancel_) cancel_->check();
  std::lock_guard lock(mutex_);
  if (!active_) return;
  now_.done = done;
  if (!listener_ || Clock::now() - reported_ < kBetweenReports) return;
  now_.current = current;
  report(false);
}

void Progress::end() {
  std::lock_guard lock(mutex_);
  if (active_) report(true);
  active_ = false;
}

void Progress::report(bool stage_ended) {
  reported_ = Clock::now();
  if (!listener_) return;
  now_.seconds = std::chrono::duration<double>(reported_ - began_).count();
  now_.stage_ended = stage_ended;
  if (now_.seconds >= kSecondsBeforeRate && now_.done > 0) {
    now_.units_per_second = static_cast<double>(now_.done) / now_.seconds;
    if (now_.total >= now_.done)
      now_.seconds_left = static_cast<double>(now_.total - now_.done) / now_.units_per_second;
  }
  listener_(now_);
}

}  // namespace quanthost
