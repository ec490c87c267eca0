/* qh.forward/1: running the whole model over a data set while it is being loaded, for methods whose
 * module classes watch what passes through them. */
#ifndef QUANTHOST_ABI_FORWARD_H
#define QUANTHOST_ABI_FORWARD_H

#include <quanthost/abi/services.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QH_FORWARD_ID "qh.forward/1"
typedef struct qh_forward_api {
  uint32_t struct_size;
  uint32_t reserved;
  /* Runs the model as it is, batch after batch in the order of the data, each batch in one forward
   * on the calling thread. All parameters must have their values: to be called from
   * process_after_load. The data is read as qh.calibration/1 reads it; of `data`, block_prefix and
   * journal_path have no meaning here. [load thread] */
  qh_status (*run)(qh_session* session, qh_model* model, const qh_exec* exec,
                   const qh_calibration_args* data);
} qh_forward_api;

#ifdef __cplusplus
}
#endif
#endif
