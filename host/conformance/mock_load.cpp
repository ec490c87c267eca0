#include "host/conformance/mock_load.hpp"

#include <cstring>
#include <functional>

#include "quanthost/plugin/error.hpp"

namespace quanthost::conformance {
namespace {

using qh::to_abi;

// A slot that may be absent: the base-class default is "nothing happens".
template <typename Slot, typename... Args>
qh_status call(Slot slot, Args... args) {
  return slot ? slot(args...) : static_cast<qh_status>(QH_OK);
}

}  // namespace

ConfigFields::ConfigFields(const QuantizerSpec& spec,
                           const std::map<std::string, OrderedJson>& config) {
  texts_.reserve(2 * spec.config.size());
  OrderedJson whole = OrderedJson::object();
  whole["quant_method"] = spec.quant_method;
  for (const ConfigField& field : spec.config) {
    const auto set = config.find(field.name);
    const OrderedJson& value = set == config.end() ? field.default_value : set->second;
    whole[field.name] = value;
    qh_config_field f{};
    f.name = to_abi(field.name);
    f.is_default = set == config.end() ? 1 : 0;
    if (value.is_null()) {
      f.type = QH_CONFIG_NULL;
    } else if (value.is_boolean()) {
      f.type = QH_CONFIG_BOOL;
      f.integer = value.get<bool>();
    } else if (value.is_number_integer() && field.type != "float") {
      f.type = QH_CONFIG_INT;
      f.integer = value.get<std::int64_t>();
      f.number = static_cast<double>(f.integer);
    } else if (value.is_number()) {
      f.type = QH_CONFIG_FLOAT;
      f.number = value.get<double>();
    } else {
      f.type = value.is_string() ? QH_CONFIG_STRING : QH_CONFIG_JSON;
      f.text =
          to_abi(texts_.emplace_back(value.is_string() ? value.get<std::string>() : value.dump()));
    }
    fields_.push_back(f);
  }
  for (const auto& [name, value] : spec.match.items())
    if (!whole.contains(name)) whole[name] = value;
  json_ = whole.dump();
}

MockLoad::MockLoad(MockHost& host, const Subject& subject, const QuantizerSpec& spec,
                   const Options& options)
    : host_(host),
      plugin_(host, subject),
      session_{&host},
      exec_(host, options.threads),
      model_(std::make_unique<MockModel>(options.dtype, subject.seed)) {
  host.packages = subject.packages;
  attach(*model_, host);
  api_ = plugin_.quantizer(spec.method);
  const ConfigFields config(spec, options.config);
  qh_create_args args{};
  args.struct_size = sizeof(args);
  args.flags = options.pre_quantized ? QH_CREATE_PRE_QUANTIZED : 0;
  args.session = session_.handle();
  args.method = to_abi(spec.method);
  args.fields = config.fields().data();
  args.field_count = config.fields().size();
  args.config_json = to_abi(config.json());
  require_ok(host, api_.create(plugin_.handle(), &args, &quantizer_), "create()");
  require(quantizer_ != nullptr, "create() returned QH_OK and no quantizer");
}

MockLoad::~MockLoad() {
  for (MockModule& module : model_->modules) model_->replace(module, nullptr, nullptr);
  if (quantizer_) api_.destroy(quantizer_);
  detach(*model_);
}

qh_status MockLoad::before_load() {
  const qh_before_load_args args{sizeof(qh_before_load_args), 0, {nullptr, 0}, {nullptr, 0}};
  return call(api_.process_before_load, quantizer_, exec(), model_->handle(), &args);
}

qh_status MockLoad::stream_parameters() {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : model_->checkpoint) names.push_back(name);
  std::set<std::string, std::less<>> consumed;
  for (const std::string& name : names) {
    if (consumed.contains(name)) continue;
    const qh_tensor& stored = model_->checkpoint.at(name).view();
    qh_tensor shape_only = stored;
    shape_only.data = nullptr;
    const qh_param_query query{sizeof(qh_param_query), 0,           to_abi(name), &shape_only,
                               to_abi("cpu"),          {nullptr, 0}};
    std::int32_t wanted = 0;
    if (const qh_status s =
            call(api_.check_quantized_param, quantizer_, model_->handle(), &query, &wanted);
        s != QH_OK)
      return s;
    Owned value(make_tensor(stored.dtype, shape_of(stored)));
    copy_elements(stored, value.view());
    if (!wanted || !api_.create_quantized_param) {
      const std::size_t dot = name.rfind('.');
      MockModule* owner =
          model_->find(std::string_view(name).substr(0, dot == std::string::npos ? 0 : dot));
      if (owner && owner->klass && owner->table.set_param) {
        if (const qh_status s = owner->table.set_param(
                owner->state, exec(), to_abi(std::string_view(name).substr(dot + 1)),
                value.release());
            s != QH_OK)
          return s;
      } else {
        model_->parameters[name] = std::move(value);
      }
      continue;
    }
    const std::int64_t rows = stored.ndim ? stored.shape[0] : 1;
    const qh_str_sink sink{&consumed, [](void* ctx, qh_str key) -> qh_status {
                             static_cast<decltype(consumed)*>(ctx)->emplace(qh::from_abi(key));
                             return QH_OK;
                           }};
    const qh_param_args args{sizeof(qh_param_args),
                             0,
                             to_abi(name),
                             value.release(),
                             to_abi("cpu"),
                             0,
                             rows,
                             rows,
                             sink};
    if (const qh_status s =
            api_.create_quantized_param(quantizer_, exec(), model_->handle(), &args);
        s != QH_OK)
      return s;
  }
  return QH_OK;
}

qh_status MockLoad::after_load() {
  if (const qh_status s = call(api_.process_after_load, quantizer_, exec(), model_->handle());
      s != QH_OK)
    return s;
  for (MockModule* module : replaced())
    if (const qh_status s = call(module->table.prepare, module->state, exec()); s != QH_OK)
      return s;
  return QH_OK;
}

void MockLoad::load() {
  require_ok(host_, before_load(), "process_before_load()");
  require_ok(host_, stream_parameters(), "loading the parameters");
  require_ok(host_, after_load(), "process_after_load()");
}

std::vector<MockModule*> MockLoad::replaced() {
  std::vector<MockModule*> out;
  for (MockModule& module : model_->modules)
    if (module.klass) out.push_back(&module);
  return out;
}

std::map<std::string, Owned> MockLoad::saved_tensors() {
  std::map<std::string, Owned> out;
  for (MockModule* module : replaced()) {
    struct Call {
      std::map<std::string, Owned>& out;
      const std::string& prefix;
    } to{out, module->name};
    require_ok(host_,
               module->table.state_dict(
                   module->state, exec(),
                   {&to,
                    [](void* ctx, qh_str name, qh_managed_tensor* tensor) -> qh_status {
                      auto& t = *static_cast<Call*>(ctx);
                      t.out[t.prefix + "." + std::string(qh::from_abi(name))] = Owned(tensor);
                      return QH_OK;
                    }}),
               "state_dict()");
  }
  return out;
}

SavedModel MockLoad::save() {
  SavedModel saved;
  for (const auto& [name, tensor] : saved_tensors()) {
    Owned contiguous(make_tensor(tensor.view().dtype, shape_of(tensor.view())));
    copy_elements(tensor.view(), contiguous.view());
    const auto* bytes = static_cast<const unsigned char*>(data_of(contiguous.view()));
    saved[name] = {describe(tensor.view()), {bytes, bytes + byte_count(contiguous.view())}};
  }
  return saved;
}

}  // namespace quanthost::conformance
