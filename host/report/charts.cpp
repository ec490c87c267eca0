#include "host/report/charts.hpp"

#include <algorithm>
#include <cmath>

namespace quanthost::report {
namespace {

// One unit is a little less than a pixel on a phone and a little more on a desk.
constexpr double kWidth = 380, kHeight = 200, kLeft = 56, kRight = 8, kTop = 10, kBottom = 26;
constexpr double kPlotWidth = kWidth - kLeft - kRight;
constexpr double kPlotHeight = kHeight - kTop - kBottom;

std::string frame(const std::string& title, const std::string& body, double height = kHeight) {
  return fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\"><title>{}</title>{}</svg>\n",
      kWidth, height, escaped(title), escaped(title), body);
}

std::string label(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>", x, y, anchor,
                     escaped(text));
}

std::string rule(double y) {
  return fmt::format("<line class=\"rule\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>",
                     kLeft, kWidth - kRight, y, y);
}

std::string rectangle(const char* name, double x, double y, double width, double height,
                      const std::string& hover) {
  return fmt::format(
      "<rect class=\"{}\" x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\">"
      "<title>{}</title></rect>",
      name, x, y, std::max(width, 0.5), std::max(height, 0.0), escaped(hover));
}

std::string bytes_text(double bytes) {
  if (bytes >= 1e9) return fmt::format("{:.3g} GB", bytes / 1e9);
  if (bytes >= 1e6) return fmt::format("{:.3g} MB", bytes / 1e6);
  if (bytes >= 1e3) return fmt::format("{:.3g} kB", bytes / 1e3);
  return fmt::format("{:.0f} B", bytes);
}

// The least of 1, 2 or 5 times a power of ten that is not below `value`.
double round_up(double value) {
  if (value <= 0) return 1;
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0})
    if (step * power >= value) return step * power;
  return 10 * power;
}

std::string byte_scale(double most) {
  std::string out;
  for (int i = 0; i <= 2; ++i) {
    const double y = kTop + kPlotHeight * (1 - i / 2.0);
    out += rule(y) + label(kLeft - 5, y + 4, "end", bytes_text(most * i / 2));
  }
  return out;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string paired_bars(const std::vector<Bar>& bars, const std::string& title) {
  double most = 0;
  for (const Bar& bar : bars) most = std::max({most, bar.first, bar.second});
  most = round_up(most);
  std::string body = byte_scale(most);
  const double step = kPlotWidth / static_cast<double>(bars.size());
  const bool pairs =
      std::any_of(bars.begin(), bars.end(), [](const Bar& bar) { return bar.first > 0; });
  const double width = step * (pairs ? 0.4 : 0.8);
  for (std::size_t i = 0; i < bars.size(); ++i) {
    const double x = kLeft + step * static_cast<double>(i) + step * 0.1;
    const auto bar = [&](const char* name, double left, double value, const char* when) {
      const double height = kPlotHeight * value / most;
      return rectangle(
          name, left, kTop + kPlotHeight - height, width, height,
          fmt::format("{}{}{}: {}", bars[i].label, *when ? " " : "", when, bytes_text(value)));
    };
    if (pairs) body += bar("before", x, bars[i].first, "before");
    body += bar("after", pairs ? x + width : x, bars[i].second, pairs ? "after" : "");
  }
  body += label(kLeft, kHeight - 8, "start", bars.front().label);
  if (bars.size() > 1) body += label(kWidth - kRight, kHeight - 8, "end", bars.back().label);
  return frame(title, body);
}

std::string error_lines(const std::vector<LayerError>& errors, const std::string& title) {
  constexpr double kLeast = 1e-12;  // a logarithm needs something
  double low = 1e300, high = kLeast;
  for (const LayerError& e : errors) {
    for (const double value : {e.error, e.rtn_error}) {
      if (value > kLeast) low = std::min(low, value);
      high = std::max(high, value);
    }
  }
  low = std::min(low, high);
  const double bottom = std::floor(std::log10(low));
  const double top = std::max(bottom + 1, std::ceil(std::log10(high)));
  const auto y_of = [&](double value) {
    const double at = (std::log10(std::max(value, std::pow(10, bottom))) - bottom) / (top - bottom);
    return kTop + kPlotHeight * (1 - at);
  };
  std::string body;
  for (double power = bottom; power <= top; ++power)
    body += rule(y_of(std::pow(10, power))) +
            label(kLeft - 5, y_of(std::pow(10, power)) + 4, "end", fmt::format("1e{:.0f}", power));
  const double step = errors.size() > 1 ? kPlotWidth / static_cast<double>(errors.size() - 1) : 0;
  std::string rounded, calibrated;
  for (std::size_t i = 0; i < errors.size(); ++i) {
    const double x = kLeft + step * static_cast<double>(i);
    rounded += fmt::format("{:.1f},{:.1f} ", x, y_of(errors[i].rtn_error));
    calibrated += fmt::format("{:.1f},{:.1f} ", x, y_of(errors[i].error));
  }
  body += fmt::format("<polyline class=\"before-line\" points=\"{}\"/>", rounded);
  body += fmt::format("<polyline class=\"after-line\" points=\"{}\"/>", calibrated);
  body += label(kLeft, kHeight - 8, "start", "first layer");
  body += label(kWidth - kRight, kHeight - 8, "end", "last layer");
  return frame(title, body);
}

std::string memory_area(const std::vector<MemorySample>& samples, const std::string& title) {
  const auto peak =
      std::max_element(samples.begin(), samples.end(),
                       [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
  const double most = round_up(peak->bytes);
  const double from = samples.front().at_ms, length = std::max(1e-6, samples.back().at_ms - from);
  const auto x_of = [&](double ms) { return kLeft + kPlotWidth * (ms - from) / length; };
  const auto y_of = [&](double bytes) { return kTop + kPlotHeight * (1 - bytes / most); };
  std::string line;
  for (const MemorySample& sample : samples)
    line += fmt::format("{:.1f},{:.1f} ", x_of(sample.at_ms), y_of(sample.bytes));
  const double floor = kTop + kPlotHeight;
  std::string body = byte_scale(most);
  body += fmt::format("<polygon class=\"area\" points=\"{:.1f},{:.1f} {}{:.1f},{:.1f}\"/>", kLeft,
                      floor, line, x_of(samples.back().at_ms), floor);
  body += fmt::format("<polyline class=\"after-line\" points=\"{}\"/>", line);
  body += fmt::format("<circle class=\"after\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>",
                      x_of(peak->at_ms), y_of(peak->bytes));
  body += label(kLeft, kHeight - 8, "start", "0 ms");
  body += label(kLeft + kPlotWidth / 2, kHeight - 8, "middle", "peak " + bytes_text(peak->bytes));
  body += label(kWidth - kRight, kHeight - 8, "end", fmt::format("{:.0f} ms", length));
  return frame(title, body);
}

std::string stage_lanes(const std::vector<Span>& stages, const std::string& title) {
  constexpr double kLane = 26;
  double end = 0, begin = stages.front().begin_ms;
  for (const Span& stage : stages) end = std::max(end, stage.begin_ms + stage.length_ms);
  const double length = std::max(1e-6, end - begin);
  const double height = kTop + kLane * static_cast<double>(stages.size()) + 8;
  std::string body;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const Span& stage = stages[i];
    const double y = kTop + kLane * static_cast<double>(i);
    const double x = kWidth * 0.42 + kWidth * 0.40 * (stage.begin_ms - begin) / length;
    body += label(2, y + 16, "start", stage.name);
    body += rectangle("after", x, y + 4, kWidth * 0.40 * stage.length_ms / length, kLane - 10,
                      fmt::format("{}: {:.2f} ms", stage.name, stage.length_ms));
    body += label(kWidth - 2, y + 16, "end", fmt::format("{:.1f} ms", stage.length_ms));
  }
  return frame(title, body, height);
}

}  // namespace quanthost::report
