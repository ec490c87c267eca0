"""gptqmodel's GPTQ, one layer at a time, on the CPU."""

import os

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import torch
from algorithm import Layer
from gptqmodel.quantization.config import QuantizeConfig
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
        offload_to_disk=False)
    settings.fallback = None  # few tokens are no reason to round to nearest here
    return settings


def solver(weight, batches, options, dtype=torch.float32):
    """Its GPTQ with the calibration inputs added. dtype: of everything it computes."""
    gptq = GPTQ(linear(weight.to(dtype)), config(options))
    gptq.quantizer.configure(perchannel=True)
    for batch in batches:
        gptq.add_batch(batch, None)
    return gptq


def quantize(weight, batches, options):
    dense, scales, zeros, g_idx, _, loss, damp, _ = solver(weight, batches, options).quantize()
    groups = g_idx.long()
    codes = (dense / scales[:, groups] + zeros[:, groups]).round()
    return Layer(codes.to(torch.uint8), scales, zeros.to(torch.uint8), g_idx.to(torch.int32), damp, loss), dense
