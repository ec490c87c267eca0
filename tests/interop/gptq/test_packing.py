"""Packed layers beside gptqmodel's: the same words both ways, in every layout, and its kernel's dense matrix from ours."""

import os

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import algorithm
import pytest
import torch
import upstream
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization.config import FORMAT
from gptqmodel.utils.model import (convert_gptq_v1_to_v2_format_module,
                                   convert_gptq_v2_to_v1_format_module)

SHAPES = [(32, 32), (128, 64), (256, 96), (576, 160)]


class Codes:
    """Random codes, zeros and scales of a layer, with the inputs' groups in order or shuffled."""

    def __init__(self, bits, inputs, outputs, group_size, shuffled, smallest_zero=0):
        self.bits, self.group_size = bits, group_size
        generator = torch.Generator().manual_seed(bits * 1000 + inputs + outputs)
        groups = 1 if group_size == -1 else -(-inputs // group_size)
        whole = lambda low, *shape: torch.randint(low, 1 << bits, shape, generator=generator, dtype=torch.uint8)
        self.codes, self.zeros = whole(0, inputs, outputs), whole(smallest_zero, groups, outputs)
        self.scales = (torch.rand(groups, outputs, generator=generator) + 0.5).mul_(0.01).half().float()
        self.g_idx = (torch.arange(inputs) // (inputs if group_size == -1 else group_size)).int()
        if shuffled:
            self.g_idx = self.g_idx[torch.randperm(inputs, generator=generator)]

    def dense(self):
        groups = self.g_idx.long()
        return self.scales[groups] * (self.codes.float() - self.zeros[groups].float())

    def empty_linear(self, planar):
        return TorchLinear(bits=self.bits, group_size=self.group_size, sym=False, desc_act=True,
                           in_features=self.codes.shape[0], out_features=self.codes.shape[1], bias=False,
                           format=FORMAT.GPTQ_P if planar else FORMAT.GPTQ_V2)

    def packed_upstream(self, planar=False, original=False):
        linear = self.empty_linear(planar)
        pack = linear.pack_original if original else linear.pack
        pack(upstream.linear(self.dense().T.contiguous()), self.scales.T.contiguous(), self.zeros.T.float().contiguous(),
             self.g_idx.clone())
        return linear


def layers(planar_too=True):
    for planar in (False, True) if planar_too else (False,):
        for bits in (2, 3, 4, 8) if not planar else (2, 3, 4, 5, 6, 7, 8):
            for inputs, outputs in SHAPES:
                for group_size in (-1, 32, 128):
                    for shuffled in (False, True):
                        yield Codes(bits, inputs, outputs, group_size, shuffled), planar


@pytest.mark.parametrize("original", [False, True], ids=["pack", "pack_original"])
def test_the_same_codes_are_packed_to_the_same_words(original):
    for layer, planar in layers():
        theirs = layer.packed_upstream(planar, original)
        qweight, qzeros = algorithm.pack(layer.codes, layer.zeros, layer.bits, planar)
        case = (layer.bits, planar, layer.codes.shape)
        assert torch.equal(qweight, theirs.qweight), case
        assert torch.equal(qzeros, theirs.qzeros), case
        assert torch.equal(layer.g_idx, theirs.g_idx), case
        assert torch.equal(layer.scales.half(), theirs.scales), case


def test_their_words_are_unpacked_to_the_codes():
    for layer, planar in layers():
        theirs = layer.packed_upstream(planar)
        codes, zeros = algorithm.unpack(theirs.qweight, theirs.qzeros, layer.codes.shape[0], layer.bits, planar)
        assert torch.equal(codes, layer.codes) and torch.equal(zeros, layer.zeros), (layer.bits, planar)


def test_their_kernel_reads_our_words():
    for layer, planar in layers():
        linear = layer.empty_linear(planar)
        linear.qweight, linear.qzeros = algorithm.pack(layer.codes, layer.zeros, layer.bits, planar)
        linear.scales, linear.g_idx = layer.scales.half(), layer.g_idx
        linear.post_init()
        assert torch.equal(linear.dequantize_weight(), layer.dense().half()), (layer.bits, planar, layer.codes.shape)


def test_zeros_change_format_as_theirs_do():
    for layer, _ in layers(planar_too=False):
        theirs = layer.packed_upstream()
        v2 = theirs.qzeros.clone()
        config = upstream.config(algorithm.Options(bits=layer.bits, damp_percent=0.01, group_size=128))
        convert_gptq_v2_to_v1_format_module(theirs, config)
        outputs = layer.codes.shape[1]
        v1 = algorithm.convert_zeros(v2, outputs, layer.bits, to_v1=True)
        assert torch.equal(v1, theirs.qzeros), layer.bits
        convert_gptq_v1_to_v2_format_module(theirs, layer.bits, torch.int32)
        assert torch.equal(algorithm.convert_zeros(v1, outputs, layer.bits, to_v1=False), theirs.qzeros), layer.bits
        assert torch.equal(theirs.qzeros, v2), layer.bits
