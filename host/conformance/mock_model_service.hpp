// qh.model/1 and qh.checkpoint/1 over a MockModel.
#pragma once

#include "quanthost/abi/services.h"

namespace quanthost::conformance {

const qh_model_api& model_service();
const qh_checkpoint_api& checkpoint_service();

}  // namespace quanthost::conformance
