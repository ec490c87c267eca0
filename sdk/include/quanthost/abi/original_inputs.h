/* qh.original_inputs/1: calibration that also shows what a layer is given in the model as it was
 * before it was quantized. A service of its own: a host may have qh.calibration/1 alone, and a
 * plugin that does without this one includes nothing. */
#ifndef QUANTHOST_ABI_ORIGINAL_INPUTS_H
#define QUANTHOST_ABI_ORIGINAL_INPUTS_H

#include <quanthost/abi/services.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QH_ORIGINAL_INPUTS_ID "qh.original_inputs/1"

/* As qh_layer_input_fn. `original`: the same tokens' input in the original model, of the same
 * shape, type and device; NULL where the layer was given other tokens there, as experts may be.
 * Both are borrowed for the call. */
typedef qh_status (*qh_layer_inputs_fn)(void* arg, qh_str layer, const qh_tensor* input,
                                        const qh_tensor* original, uint64_t batch_index,
                                        uint64_t batch_samples);

typedef struct qh_original_inputs_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* Both [load thread]. */
  /* The data also passes through the model as it is now: once, before the first block is run.
   * QH_ERR_RUNTIME later. qh_calibration_api.advance then advances both; until it has, the layers
   * of the block stay in their places, and their parameters change by set_param alone. */
  qh_status (*keep)(qh_calibration* run);
  /* As qh_calibration_api.run_block, with both inputs. QH_ERR_RUNTIME without keep. */
  qh_status (*run_block)(qh_calibration* run, const qh_exec* exec, uint64_t block,
                         qh_str_list layers, qh_layer_inputs_fn on_inputs, void* arg);
} qh_original_inputs_api;

#ifdef __cplusplus
}
#endif
#endif
