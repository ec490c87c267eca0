// gptq: the method `gptq`.
#include <quanthost/plugin/entry.hpp>

#include "quantizer/quantizer.hpp"

namespace quanthost::gptq {

class GptqPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;

  std::vector<qh::QuantizerEntry> quantizers() const override {
    return {
        {"gptq", 0,
         [](const qh::Host& host, const qh_create_args& args) -> std::unique_ptr<qh::Quantizer> {
           return std::make_unique<GptqQuantizer>(host, args);
         }}};
  }
};

}  // namespace quanthost::gptq

QH_PLUGIN(quanthost::gptq::GptqPlugin)
