// The report as JSON and as lines.
#include "quantizer/report.hpp"

#include <cstdio>

namespace quanthost::gptq {

Json to_json(const LayerReport& layer) {
  return {{"name", layer.name},
          {"bits", layer.bits},
          {"group_size", layer.group_size},
          {"loss", layer.loss},
          {"rtn_error", layer.rtn_error},
          {"error", layer.error},
          {"seconds", layer.seconds},
          {"damp_percent", layer.damp_percent},
          {"samples", layer.samples},
          {"bytes_before", layer.bytes_before},
          {"bytes_after", layer.bytes_after}};
}

LayerReport report_from(const Json& json) {
  LayerReport layer;
  json.at("name").get_to(layer.name);
  json.at("bits").get_to(layer.bits);
  json.at("group_size").get_to(layer.group_size);
  json.at("loss").get_to(layer.loss);
  json.at("rtn_error").get_to(layer.rtn_error);
  json.at("error").get_to(layer.error);
  json.at("seconds").get_to(layer.seconds);
  json.at("damp_percent").get_to(layer.damp_percent);
  json.at("samples").get_to(layer.samples);
  json.at("bytes_before").get_to(layer.bytes_before);
  json.at("bytes_after").get_to(layer.bytes_after);
  return layer;
}

std::string report_text(const std::vector<LayerReport>& layers, const Options& options) {
  Json list = Json::array();
  for (const LayerReport& layer : layers) list.push_back(to_json(layer));
  return Json{{"schema", "quanthost.gptq-report/1"},
              {"config", Json::parse(quantize_config_file(options))},
              {"layers", list}}
      .dump(2);
}

std::string report_line(const LayerReport& layer) {
  char text[160];
  std::snprintf(text, sizeof text, ": %d bits, error %.3g (rounding %.3g), loss %.4g, %.2f s",
                layer.bits, layer.error, layer.rtn_error, layer.loss, layer.seconds);
  return layer.name + text;
}

}  // namespace quanthost::gptq
