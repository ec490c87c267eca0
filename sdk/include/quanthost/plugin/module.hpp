// One quantized layer: derive, implement the virtuals, and hand it to Model::replace_module.
#pragma once

#include <quanthost/abi/module.h>

#include <functional>
#include <memory>
#include <quanthost/plugin/host.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace qh {

struct ParamInfo {
  std::string name;  // within the module
  Dtype dtype;
  std::vector<std::int64_t> shape;
  double element_bytes;
  bool is_buffer = false;
};

struct ModuleInfo {
  std::int64_t in_features = 0;
  std::int64_t out_features = 0;
  bool has_bias = false;
  Dtype dtype = kNoDtype;  // of the weight before quantization
  bool loaded = false;     // forward may be called
};

struct ModuleMemory {
  std::uint64_t weight_bytes = 0;
  std::uint64_t overhead_bytes = 0;
  std::uint64_t runtime_bytes = 0;
};

// Emits (name within the module, tensor). The receiver owns the tensor.
using TensorEmitter = std::function<void(std::string_view, Tensor)>;

inline TensorEmitter tensor_emitter(const qh_tensor_sink& sink) {
  return [sink](std::string_view name, Tensor tensor) {
    check(sink.emit(sink.ctx, to_abi(name), tensor.release()));
  };
}

// A derived class D defines `static constexpr const char* kClassName` (the Python class) and may
// define `static constexpr std::uint32_t kFlags` (QH_MODULE_LINEAR).
class Module {
 public:
  explicit Module(const Host& host) : host_(&host) {}
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  const Host& host() const { return *host_; }

  virtual ModuleInfo describe() const = 0;
  virtual std::vector<ParamInfo> parameters() const = 0;
  virtual void set_param(const Exec&, std::string_view name, Tensor) { throw no_param(name); }
  virtual Tensor get_param(const Exec&, std::string_view name) { throw no_param(name); }
  virtual void forward(const Exec&, const qh_tensor* inputs, std::uint32_t input_count,
                       TensorView output) = 0;
  virtual void backward_input(const Exec&, TensorView /*grad_output*/, TensorView /*input*/,
                              TensorView /*grad_input*/) {
    throw unsupported("the gradient of its input");
  }
  // Shape and element type of the output; only asked when the class is not QH_MODULE_LINEAR.
  virtual std::pair<Dtype, std::vector<std::int64_t>> output_info(const qh_tensor* /*inputs*/,
                                                                  std::uint32_t /*count*/) {
    throw unsupported("a description of its output");
  }
  virtual void to_device(const Exec&) { throw unsupported("moving to another device"); }
  virtual void state_dict(const Exec&, const TensorEmitter& emit) = 0;
  virtual Tensor dequantize(const Exec&, Dtype) { throw unsupported("dequantizing"); }
  virtual ModuleMemory memory_bytes() const = 0;  // before it is filled: what it will take
  virtual void prepare(const Exec&) {}

 protected:
  static Error no_param(std::string_view name) {
    return Error(QH_ERR_KEY, "the module has no parameter '" + std::string(name) + "'");
  }
  static Error unsupported(const char* what) {
    return Error(QH_ERR_NOT_IMPLEMENTED, std::string("this layer does not support ") + what);
  }

 private:
  const Host* host_;
};

namespace detail {

inline Module* unwrap(qh_module* self) { return reinterpret_cast<Module*>(self); }
inline qh_module* wrap(Module* self) { return reinterpret_cast<qh_module*>(self); }

template <typename Body>
qh_status on_module(qh_module* self, Body&& body) noexcept {
  Module* module = unwrap(self);
  return module->host().guard([&] { body(*module); });
}

template <typename Out>
void write_sized(Out* out, Out value) {
  const std::uint32_t size = std::min<std::uint32_t>(out->struct_size, sizeof(Out));
  value.struct_size = size;
  std::memcpy(out, &value, size);
}

inline qh_status emit_param(const qh_param_info_sink& sink, const ParamInfo& info) {
  const qh_param_info abi{sizeof(qh_param_info),
                          info.is_buffer ? 1u : 0u,
                          to_abi(info.name),
                          info.dtype,
                          static_cast<std::int32_t>(info.shape.size()),
                          info.shape.data(),
                          info.element_bytes};
  return sink.emit(sink.ctx, &abi);
}

template <typename D, typename = void>
struct FlagsOf {
  static constexpr std::uint32_t value = 0;
};
template <typename D>
struct FlagsOf<D, std::void_t<decltype(D::kFlags)>> {
  static constexpr std::uint32_t value = D::kFlags;
};

inline void fill_module_slots(qh_module_class& table) {
  table.destroy = [](qh_module* self) { delete unwrap(self); };
  table.describe = [](qh_module* self, qh_module_info* out) {
    return on_module(self, [&](Module& m) {
      const ModuleInfo info = m.describe();
      write_sized(out,
                  qh_module_info{sizeof(qh_module_info), info.has_bias ? 1u : 0u, info.in_features,
                                 info.out_features, info.dtype, info.loaded ? 1u : 0u});
    });
  };
  table.parameters = [](qh_module* self, qh_param_info_sink out) {
    return on_module(self, [&](Module& m) {
      for (const ParamInfo& info : m.parameters()) check(emit_param(out, info));
    });
  };
  table.set_param = [](qh_module* self, const qh_exec* exec, qh_str name,
                       qh_managed_tensor* value) {
    Tensor owned(value);
    return on_module(self, [&](Module& m) {
      m.set_param(Exec(m.host(), exec), from_abi(name), std::move(owned));
    });
  };
  table.get_param = [](qh_module* self, const qh_exec* exec, qh_str name, qh_managed_tensor** out) {
    return on_module(self, [&](Module& m) {
      *out = m.get_param(Exec(m.host(), exec), from_abi(name)).release();
    });
  };
  table.output_info = [](qh_module* self, const qh_tensor* inputs, std::uint32_t count,
                         qh_tensor* out) {
    return on_module(self, [&](Module& m) {
      const auto [dtype, shape] = m.output_info(inputs, count);
      out->dtype = dtype;
      out->ndim = static_cast<std::int32_t>(shape.size());
      std::copy(shape.begin(), shape.end(), out->shape);
    });
  };
  table.forward = [](qh_module* self, const qh_exec* exec, const qh_tensor* inputs,
                     std::uint32_t count, const qh_tensor* output) {
    return on_module(self, [&](Module& m) {
      m.forward(Exec(m.host(), exec), inputs, count, TensorView(*output));
    });
  };
  table.backward_input = [](qh_module* self, const qh_exec* exec, const qh_tensor* grad_output,
                            const qh_tensor* input, const qh_tensor* grad_input) {
    return on_module(self, [&](Module& m) {
      m.backward_input(Exec(m.host(), exec), TensorView(*grad_output), TensorView(*input),
                       TensorView(*grad_input));
    });
  };
  table.to_device = [](qh_module* self, const qh_exec* exec) {
    return on_module(self, [&](Module& m) { m.to_device(Exec(m.host(), exec)); });
  };
  table.state_dict = [](qh_module* self, const qh_exec* exec, qh_tensor_sink out) {
    return on_module(self,
                     [&](Module& m) { m.state_dict(Exec(m.host(), exec), tensor_emitter(out)); });
  };
  table.dequantize = [](qh_module* self, const qh_exec* exec, qh_dtype dtype,
                        qh_managed_tensor** out) {
    return on_module(
        self, [&](Module& m) { *out = m.dequantize(Exec(m.host(), exec), dtype).release(); });
  };
  table.memory_bytes = [](qh_module* self, qh_module_memory* out) {
    return on_module(self, [&](Module& m) {
      const ModuleMemory memory = m.memory_bytes();
      write_sized(out, qh_module_memory{sizeof(qh_module_memory), 0, memory.weight_bytes,
                                        memory.overhead_bytes, memory.runtime_bytes});
    });
  };
  table.prepare = [](qh_module* self, const qh_exec* exec) {
    return on_module(self, [&](Module& m) { m.prepare(Exec(m.host(), exec)); });
  };
}

}  // namespace detail

// The one table of a class; its address identifies the class.
template <typename D>
const qh_module_class* module_class() {
  static const qh_module_class table = [] {
    qh_module_class t{};
    t.struct_size = sizeof(qh_module_class);
    t.flags = detail::FlagsOf<D>::value;
    t.name = to_abi(D::kClassName);
    detail::fill_module_slots(t);
    return t;
  }();
  return &table;
}

}  // namespace qh
