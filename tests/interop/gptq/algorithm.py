"""Our algorithm and format as Python functions on torch tensors, over the C functions of algorithm_library.cpp."""

import ctypes as ct
import os
from dataclasses import dataclass

import torch

P, I32, I64, F32 = ct.c_void_p, ct.c_int32, ct.c_int64, ct.c_float

library = ct.CDLL(os.environ["QUANTHOST_TOOL"])
library.hessian_new.restype = P
for name in ("hessian_add", "quantize", "pack_layer", "unpack_layer", "convert_zero_words", "sweep_order"):
    getattr(library, name).restype = ct.c_char_p


def check(refusal):
    if refusal is not None:
        raise ValueError(refusal.decode())


class Options(ct.Structure):
    _fields_ = [("bits", I32), ("symmetric", I32), ("desc_act", I32), ("static_groups", I32), ("act_group_aware", I32),
                ("mse_exponent", F32), ("damp_percent", F32), ("damp_increment", F32), ("gptaq_alpha", F32), ("group_size", I64)]


class Outputs(ct.Structure):
    _fields_ = [("codes", P), ("scales", P), ("zeros", P), ("g_idx", P), ("damp_percent", F32), ("diagonal_floor", F32),
                ("loss", ct.c_double)]


@dataclass
class Layer:
    """A quantized layer, with rows as outputs: codes [N, K], scales and zeros [N, groups], g_idx [K]."""
    codes: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor
    g_idx: torch.Tensor
    damp_percent: float
    loss: float


class Hessian:
    def __init__(self, columns):
        self.columns = columns
        self._handle = P(library.hessian_new(I64(columns)))

    def __del__(self, delete=library.hessian_delete):
        delete(self._handle)

    def add(self, inputs, samples=None):
        """Every token counts as a sample, as gptqmodel counts them: that sets what a dead column's 1 weighs. Its GPTAQ counts
        sequences."""
        inputs = inputs.reshape(-1, self.columns).contiguous()
        tokens = I64(inputs.shape[0])
        check(library.hessian_add(self._handle, P(inputs.data_ptr()), tokens, I64(samples) if samples else tokens))

    def quantize(self, weight, options, drift=None):
        rows, columns = weight.shape
        groups = 1 if options.group_size == -1 else -(-columns // options.group_size)
        codes = torch.empty(rows, columns, dtype=torch.uint8)
        scales = torch.empty(rows, groups)
        zeros = torch.empty(rows, groups, dtype=torch.uint8)
        g_idx = torch.empty(columns, dtype=torch.int32)
        out = Outputs(codes.data_ptr(), scales.data_ptr(), zeros.data_ptr(), g_idx.data_ptr())
        drift = None if drift is None else drift.contiguous()
        check(library.quantize(self._handle, None if drift is None else P(drift.data_ptr()), P(weight.contiguous().data_ptr()), I64(rows), ct.byref(options), ct.byref(out)))
        return Layer(codes, scales, zeros, g_idx, out.damp_percent, out.loss)

    def sweep_order(self, options):
        order = torch.empty(self.columns, dtype=torch.int64)
        check(library.sweep_order(self._handle, ct.byref(options), P(order.data_ptr())))
        return order


def words(count, bits, planar=False):
    return -(-count // 32) * bits if planar and bits in (3, 5, 6, 7) else -(-count * bits // 32)


def pack(codes, zeros, bits, planar=False):
    """Codes [K, N] and zeros [groups, N] to qweight and qzeros."""
    inputs, outputs = codes.shape
    qweight = torch.empty(words(inputs, bits, planar), outputs, dtype=torch.int32)
    qzeros = torch.empty(zeros.shape[0], words(outputs, bits, planar), dtype=torch.int32)
    codes, zeros = codes.contiguous(), zeros.contiguous()
    check(library.pack_layer(P(codes.data_ptr()), P(zeros.data_ptr()), I64(inputs), I64(outputs), I64(zeros.shape[0]),
                             I32(bits), I32(planar), P(qweight.data_ptr()), P(qzeros.data_ptr())))
    return qweight, qzeros


def unpack(qweight, qzeros, inputs, bits, planar=False):
    outputs, groups = qweight.shape[1], qzeros.shape[0]
    codes = torch.empty(inputs, outputs, dtype=torch.uint8)
    zeros = torch.empty(groups, outputs, dtype=torch.uint8)
    qweight, qzeros = qweight.contiguous(), qzeros.contiguous()
    check(library.unpack_layer(P(qweight.data_ptr()), P(qzeros.data_ptr()), I64(inputs), I64(outputs), I64(groups),
                               I32(bits), I32(planar), P(codes.data_ptr()), P(zeros.data_ptr())))
    return codes, zeros


def convert_zeros(qzeros, outputs, bits, to_v1):
    """A copy of v2 words in v1, or of v1 words in v2."""
    result = qzeros.clone().contiguous()
    check(library.convert_zero_words(P(result.data_ptr()), I64(result.shape[0]), I64(outputs), I32(bits), I32(to_v1)))
    return result
