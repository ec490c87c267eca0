"""gptqmodel's GPTQ, one layer at a time, on the CPU."""

import os

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
from algorithm import Layer
from gptqmodel.looper.native_processor import NATIVE_INPUTS_STATE_KEY
from gptqmodel.quantization.config import GPTAQConfig, QuantizeConfig
from gptqmodel.quantization.gptaq import GPTAQ
from gptqmodel.quantization.gptq import GPTQ


def linear(weight):
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight.clone()
    return layer


def config(options):
    settings = QuantizeConfig(
        bits=options.bits, group_size=options.group_size, sym=bool(options.symmetric), desc_act=bool(options.desc_act),
        static_groups=bool(options.static_groups), act_group_aware=bool(options.act_group_aware),
        mse=options.mse_exponent, damp_percent=options.damp_percent, damp_auto_increment=options.damp_increment,
        gptaq=GPTAQConfig(alpha=options.gptaq_alpha) if options.gptaq_alpha >= 0 else None, offload_to_disk=False)
    settings.fallback = None  # few tokens are no reason to round to nearest here
    return settings


def solver(weight, batches, options, dtype=torch.float32, originals=None, same_inputs=None):
    """Its GPTQ with the calibration inputs added, or its GPTAQ where there are the original model's inputs beside them.
    dtype: of everything it computes. same_inputs: a GPTQ that has these inputs already, whose Hessian it shares as layers with
    one input do."""
    layer = linear(weight.to(dtype))
    if originals is not None:
        layer.state = {NATIVE_INPUTS_STATE_KEY: list(originals)}
    gptq = (GPTQ if originals is None else GPTAQ)(layer, config(options))
    gptq.quantizer.configure(perchannel=True)
    if same_inputs is not None:
        gptq.adopt_hessian_from(same_inputs)
        return gptq
    for batch in batches:
        gptq.add_batch(batch, None)
    return gptq


def quantize(weight, batches, options, originals=None, same_inputs=None):
    gptq = solver(weight, batches, options, originals=originals, same_inputs=same_inputs)
    dense, scales, zeros, g_idx, _, loss, damp, _ = gptq.quantize()
    groups = g_idx.long()
    codes = (dense / scales[:, groups] + zeros[:, groups]).round()
    return Layer(codes.to(torch.uint8), scales, zeros.to(torch.uint8), g_idx.to(torch.int32), damp, loss), dense
