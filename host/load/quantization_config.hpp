// The options of a quantization method: choosing the method, merging what the user says with what
// the checkpoint says, and checking every option against the method's manifest.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "host/base/json.hpp"
#include "host/load/faults.hpp"
#include "host/plugins/manifest.hpp"

namespace quanthost {

// What --method with --set, or --quant FILE, says.
struct UserQuantization {
  std::string method;  // empty: nothing was asked for
  OrderedJson values = OrderedJson::object();
  std::string where;  // "--set", or the file: for errors
};

// How the caller calls what people may say about a load, for errors.
struct OptionNames {
  std::string method, settings, quantization_file, device_map, max_memory, max_queue, dtype;
  std::string list_of_methods;  // where to look them up
};
// Those of the command: "--method", "--set", …
const OptionNames& command_option_names();

// A method as somebody asks for it: by name with its options, or a file with both.
struct QuantizationRequest {
  std::string method;
  std::vector<std::pair<std::string, std::string>> settings;  // values are read as YAML
  std::filesystem::path file;

  bool empty() const { return method.empty() && file.empty(); }
};
// Throws UserOptionError.
UserQuantization user_quantization(const QuantizationRequest& request, const OptionNames& names);

// "key=value", as --set has it: 4, true, 0.1, [a, b], nf4.
std::vector<std::pair<std::string, std::string>> split_settings(
    const std::vector<std::string>& settings);
UserQuantization user_quantization(std::string method, const std::vector<std::string>& settings);
// A map with `method:` (or quant_method:) and the options beside it.
UserQuantization read_user_quantization(const std::filesystem::path& file);

struct ConfigValue {
  const ConfigField* field;
  OrderedJson value;
  bool is_default;  // nobody set it
};

// What the quantizer is created with.
struct MethodConfig {
  const QuantizerSpec* spec = nullptr;
  bool pre_quantized = false;
  std::vector<ConfigValue> values;  // every declared field, in the manifest's order
  OrderedJson
      merged;  // as it stands in a checkpoint: the values and whatever else the checkpoint holds
  std::vector<std::string> warnings;
};

// A model that is to be quantized while it loads.
MethodConfig config_for_quantizing(const QuantizerSpec& spec, const UserQuantization& user);

// A checkpoint that is quantized already: its own config wins, the user's loading attributes are
// copied over, a warning says what was ignored. A user who names another method is refused.
MethodConfig config_for_pre_quantized(const QuantizerSpec& spec,
                                      const OrderedJson& quantization_config,
                                      const UserQuantization& user);

// QuantoConfig for a directory that has optimum-quanto's map of modules (quanto_qmap.json) and no
// config: the types that most of its modules have. The quantizer reads the map itself and takes
// each module as it says.
OrderedJson config_of_quanto_map(const Json& map);

}  // namespace quanthost
