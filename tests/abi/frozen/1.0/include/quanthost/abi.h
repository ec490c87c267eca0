/* The contract between the quanthost host and a plugin: pure C99, one exported symbol, nothing to
 * link.
 *
 * Start here. The pieces, in the order in which they are met:
 *
 *     abi/base.h       statuses, strings, lists, sinks, and the rules of every struct
 *     abi/tensor.h     tensors as DLPack lays them out, element types, devices, and qh_exec
 *     abi/plugin.h     the entry point, the offer and the plugin's own table
 *     abi/quantizer.h  the quantizer: transformers' HfQuantizer, slot by slot
 *     abi/module.h     a quantized layer as a module class
 *     abi/services.h   what the host offers: tensors, model, checkpoint, packages, threads, log,
 *                      progress, linear algebra, calibration, text
 *     abi/forward.h    one more of these: the whole model over a data set
 *     abi/layers.h     and another: layers in floats, computed by the host
 *
 * Kernel packages have headers of their own under packages/. C++ authors include plugin.hpp
 * instead, which includes this.
 */
#ifndef QUANTHOST_ABI_H
#define QUANTHOST_ABI_H

#include <quanthost/abi/base.h>
#include <quanthost/abi/forward.h>
#include <quanthost/abi/layers.h>
#include <quanthost/abi/module.h>
#include <quanthost/abi/plugin.h>
#include <quanthost/abi/quantizer.h>
#include <quanthost/abi/services.h>
#include <quanthost/abi/tensor.h>

#endif
