// The plugin: one method.
#include <quanthost/plugin.hpp>

#include "plugins/bnb4/quantizer/quantizer.hpp"

namespace quanthost::bnb4 {
namespace {

class Bnb4Plugin : public qh::Plugin {
 public:
  using Plugin::Plugin;
  std::vector<qh::QuantizerEntry> quantizers() const override {
    return {
        {"bitsandbytes_4bit", QH_QUANTIZER_CONCURRENT,
         [](const qh::Host& host, const qh_create_args& args) -> std::unique_ptr<qh::Quantizer> {
           return std::make_unique<Bnb4Quantizer>(host, args);
         }}};
  }
};

}  // namespace
}  // namespace quanthost::bnb4

QH_PLUGIN(quanthost::bnb4::Bnb4Plugin)
