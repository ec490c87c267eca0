// The base of every module here: a torch::nn::Module with a Hugging Face class name, replaceable
// children and hooks.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

// Applications derive from these and find them in libquanthost.so.
#pragma GCC visibility push(default)
namespace quanthost::model {

// A hook may put another tensor in the place of the one it is shown. Hooks run on the thread that
// runs the model.
using InputHook = std::function<void(at::Tensor& input)>;
using OutputHook = std::function<void(const at::Tensor& input, at::Tensor& output)>;

namespace detail {

struct Hooks {
  std::list<InputHook> input;
  std::list<OutputHook> output;
  bool empty() const { return input.empty() && output.empty(); }
};

// Where a parent keeps one child. Its address never changes, so the parent's forward reads the
// child of the moment.
class Cell {
 public:
  virtual ~Cell() = default;
  virtual bool put(const std::shared_ptr<torch::nn::Module>&
                       module) = 0;  // false: not the kind this place needs
};

template <class T>
class TypedCell : public Cell {
 public:
  explicit TypedCell(std::shared_ptr<T> child) : child(std::move(child)) {}
  bool put(const std::shared_ptr<torch::nn::Module>& module) override {
    auto typed = std::dynamic_pointer_cast<T>(module);
    if (typed) child = std::move(typed);
    return child == module;
  }
  std::shared_ptr<T> child;
};

}  // namespace detail

// What a parent holds instead of a shared_ptr to a child: follows replacements. Empty for an
// optional child.
template <class T>
class Slot {
 public:
  Slot() = default;
  explicit Slot(detail::TypedCell<T>* cell) : cell_(cell) {}
  T& operator*() const { return *cell_->child; }
  T* operator->() const { return cell_->child.get(); }
  explicit operator bool() const { return cell_ != nullptr; }

 private:
  detail::TypedCell<T>* cell_ = nullptr;  // owned by the parent
};

// Removes its hook when it is destroyed. May outlive the module.
class [[nodiscard]] HookHandle {
 public:
  HookHandle() = default;
  explicit HookHandle(std::function<void()> remove) : remove_(std::move(remove)) {}
  HookHandle(HookHandle&& other) noexcept : remove_(std::exchange(other.remove_, nullptr)) {}
  HookHandle& operator=(HookHandle&& other) noexcept {
    std::swap(remove_, other.remove_);
    return *this;
  }
  ~HookHandle() {
    if (remove_) remove_();
  }

 private:
  std::function<void()> remove_;
};

// One thread at a time may run or change a tree of modules.
class Module : public torch::nn::Module {
 public:
  explicit Module(std::string class_name) : torch::nn::Module(std::move(class_name)) {}

  const std::string& class_name() const { return name(); }  // as Python's type(module).__name__

  // The next forward uses `replacement`. Throws kKey when there is no such child, kType when its
  // place needs another kind of module (a projection's place needs a Layer).
  void replace_child(const std::string& name,
                     const std::shared_ptr<torch::nn::Module>& replacement);
  template <class T>
  void replace_module(const std::string&,
                      T&&) = delete;  // would leave the slots behind: use replace_child

  // Gives a parameter its value; the shape must match, dtype and device may change. Throws kKey or
  // kValue.
  void set_parameter(const std::string& name, at::Tensor value);
  bool has_parameter(const std::string& name) const { return parameters_.contains(name); }
  // False for a buffer that no checkpoint holds.
  bool persistent(const std::string& buffer) const { return !transient_.contains(buffer); }

  HookHandle on_input(InputHook hook);
  HookHandle on_output(OutputHook hook);
  bool hooked() const {
    return hooks_ && !hooks_->empty();
  }  // a fused path must then call the module itself

 protected:
  template <class T>
  Slot<T> add(const std::string& name, std::shared_ptr<T> child) {
    register_module(name, child);
    auto cell = std::make_unique<detail::TypedCell<T>>(std::move(child));
    Slot<T> slot(cell.get());
    cells_.emplace_back(name, std::move(cell));
    return slot;
  }
  void add_parameter(const std::string& name, at::IntArrayRef shape,
                     const at::TensorOptions& options);
  void add_absent_parameter(
      const std::string& name);  // a place that stays empty, e.g. the bias of a layer without one
  void add_transient_buffer(const std::string& name, at::Tensor value);
  const at::Tensor& parameter(std::size_t index) const {
    return parameters_[index].value();
  }  // in order of adding

  template <class Body>
  at::Tensor hooked_call(const at::Tensor& input, Body&& body) {
    if (!hooked()) [[likely]] {
      return body(input);
    }
    at::Tensor seen = input;
    for (auto& hook : hooks_->input) hook(seen);
    at::Tensor output = body(seen);
    for (auto& hook : hooks_->output) hook(seen, output);
    return output;
  }

 private:
  std::vector<std::pair<std::string, std::unique_ptr<detail::Cell>>> cells_;
  std::set<std::string> transient_;
  std::shared_ptr<detail::Hooks> hooks_;
};

// nn.ModuleList of one kind of module.
template <class T>
class ModuleList : public Module {
 public:
  ModuleList() : Module("ModuleList") {}
  void push_back(std::shared_ptr<T> child) {
    const std::string name = std::to_string(slots_.size());
    slots_.push_back(add(name, std::move(child)));
  }
  std::size_t size() const { return slots_.size(); }
  T& operator[](std::size_t index) const { return *slots_[index]; }

 private:
  std::vector<Slot<T>> slots_;
};

}  // namespace quanthost::model
#pragma GCC visibility pop
