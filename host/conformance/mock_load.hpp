// A whole life of one quantizer as the load pipeline would lead it, on a mock model.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host/conformance/opened_plugin.hpp"

namespace quanthost::conformance {

// Names and bytes of a saved model, with the types and shapes.
struct SavedTensor {
  std::string description;  // type and shape
  std::vector<unsigned char> bytes;
  bool operator==(const SavedTensor&) const = default;
};
using SavedModel = std::map<std::string, SavedTensor>;

class MockLoad {
 public:
  struct Options {
    bool pre_quantized = false;
    std::uint32_t threads = 2;
    qh_dtype dtype = {};
    std::map<std::string, OrderedJson> config = {};  // over the manifest's defaults
  };

  // Opens the plugin and creates the quantizer of `spec`.
  MockLoad(MockHost& host, const Subject& subject, const QuantizerSpec& spec,
           const Options& options);
  ~MockLoad();
  MockLoad(const MockLoad&) = delete;
  MockLoad& operator=(const MockLoad&) = delete;

  MockHost& host() { return host_; }
  MockModel& model() { return *model_; }
  const qh_exec* exec() const { return exec_.abi(); }
  const qh_quantizer_api& api() const { return api_; }
  qh_quantizer* quantizer() { return quantizer_; }
  const OpenedPlugin& plugin() const { return plugin_; }

  // The steps; each returns the first status that is not QH_OK.
  qh_status before_load();
  qh_status stream_parameters();  // create_quantized_param or plain placement for every tensor of
                                  // the checkpoint
  qh_status after_load();
  // All three, required to succeed.
  void load();

  // The modules the plugin put into the model.
  std::vector<MockModule*> replaced();
  // What state_dict of every replaced module gives, under full names: as tensors and as bytes to
  // compare.
  std::map<std::string, Owned> saved_tensors();
  SavedModel save();

 private:
  MockHost& host_;
  OpenedPlugin plugin_;
  qh_quantizer_api api_{};
  qh_quantizer* quantizer_ = nullptr;
  MockSession session_;
  MockExec exec_;
  std::unique_ptr<MockModel> model_;
};

// The fields of qh_create_args for a method: the manifest's defaults with `config` over them. Owns
// what it points to.
class ConfigFields {
 public:
  ConfigFields(const QuantizerSpec& spec, const std::map<std::string, OrderedJson>& config);
  const std::vector<qh_config_field>& fields() const { return fields_; }
  const std::string& json() const { return json_; }

 private:
  std::vector<std::string> texts_;
  std::vector<qh_config_field> fields_;
  std::string json_;
};

}  // namespace quanthost::conformance
