// The C++17 face of the ABI for plugin authors: header-only, nothing to link.
//
// Derive from qh::Quantizer and qh::Module, hand them out from a class derived from qh::Plugin, and
// write QH_PLUGIN(MyPlugin) once. Errors are thrown as qh::Error (or any std::exception) and become
// statuses at the edge; nothing escapes.
//
//   plugin/error.hpp      qh::Error and the guard at the edge
//   plugin/tensor.hpp     qh::TensorView, qh::Tensor (owning), qh::Dtype
//   plugin/host.hpp       qh::Host (services), qh::Exec (where and how a call works)
//   plugin/model.hpp      qh::Model (the module tree and the checkpoint)
//   plugin/module.hpp     qh::Module, one quantized layer
//   plugin/quantizer.hpp  qh::Quantizer, the base class with transformers' defaults
//   plugin/entry.hpp      qh::Plugin and QH_PLUGIN
// Not included here, for quantizers that work with kernel packages:
//   plugin/kernel_packages.hpp  qh::KernelPackages, the function table for each kind of device
#pragma once

#include <quanthost/plugin/entry.hpp>
#include <quanthost/plugin/error.hpp>
#include <quanthost/plugin/host.hpp>
#include <quanthost/plugin/model.hpp>
#include <quanthost/plugin/module.hpp>
#include <quanthost/plugin/quantizer.hpp>
#include <quanthost/plugin/tensor.hpp>
