// qh_quanto: the method `quanto`.
#include <quanthost/plugin/entry.hpp>

#include "quantizer/quantizer.hpp"

namespace quanthost::quanto {

class QuantoPlugin final : public qh::Plugin {
 public:
  using qh::Plugin::Plugin;

  std::vector<qh::QuantizerEntry> quantizers() const override {
    return {
        {"quanto", QH_QUANTIZER_CONCURRENT,
         [](const qh::Host& host, const qh_create_args& args) -> std::unique_ptr<qh::Quantizer> {
           return std::make_unique<QuantoQuantizer>(host, args);
         }}};
  }
};

}  // namespace quanthost::quanto

QH_PLUGIN(quanthost::quanto::QuantoPlugin)
