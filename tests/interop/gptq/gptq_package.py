"""The kernel package qh_gptq_cpu.so as Python functions on torch tensors."""

import ctypes as ct
import os
import sys

import torch

sys.path.append(os.path.dirname(os.path.abspath(__file__)) + "/../bnb4")
from kernel_package import DTYPE, I32, I64, P, U32, Dtype, Provider


class Weight(ct.Structure):
    _fields_ = [("struct_size", U32), ("bits", I32), ("inputs", I64), ("outputs", I64), ("groups", I64), ("qweight", P),
                ("qzeros", P), ("scales", P), ("g_idx", P), ("input_order", P), ("scale_dtype", Dtype), ("reserved", U32)]


class ProductArgs(ct.Structure):
    _fields_ = [("struct_size", U32), ("dtype", Dtype), ("input", P), ("bias", P), ("output", P), ("batch", I64),
                ("bias_dtype", Dtype), ("reserved", U32)]


PRODUCT = ct.CFUNCTYPE(I32, P, P, ct.POINTER(Weight), ct.POINTER(ProductArgs))


class Kernels(ct.Structure):
    _fields_ = [("struct_size", U32), ("flags", U32),
                ("sort_rows", ct.CFUNCTYPE(I32, P, P, ct.POINTER(Weight), P, P, P)),
                ("dequantize", ct.CFUNCTYPE(I32, P, P, ct.POINTER(Weight), Dtype, P)),
                ("forward", PRODUCT), ("backward_input", PRODUCT)]


def weight(qweight, qzeros, scales, g_idx, bits, input_order=None):
    """The tensors of a layer, zeros in v2; they are kept alive."""
    result = Weight(ct.sizeof(Weight), bits, g_idx.numel(), scales.shape[1], scales.shape[0], qweight.data_ptr(),
                    qzeros.data_ptr(), scales.data_ptr(), g_idx.data_ptr(),
                    None if input_order is None else input_order.data_ptr(), DTYPE[scales.dtype], 0)
    result.keep = (qweight, qzeros, scales, g_idx, input_order)
    return result


class Package(Provider):
    def __init__(self, path, threads=2):
        super().__init__(path, "auto_gptq", "qh.gptq.kernels/1", Kernels, threads)

    def sort_rows(self, w):
        qweight, qzeros, scales, g_idx, _ = w.keep
        sorted_weight, sorted_groups = torch.empty_like(qweight), torch.empty_like(g_idx)
        order = torch.empty_like(g_idx)
        self._check(self.table.sort_rows(self.state, ct.addressof(self.exec), ct.byref(w), sorted_weight.data_ptr(),
                                         sorted_groups.data_ptr(), order.data_ptr()))
        return weight(sorted_weight, qzeros, scales, sorted_groups, w.bits, order)

    def dequantize(self, w, dtype):
        out = torch.empty(w.inputs, w.outputs, dtype=dtype)
        self._check(self.table.dequantize(self.state, ct.addressof(self.exec), ct.byref(w), DTYPE[dtype], out.data_ptr()))
        return out

    def forward(self, w, x, bias=None, out=None):
        out = torch.empty(*x.shape[:-1], w.outputs, dtype=x.dtype) if out is None else out
        self.forward_call(w, x, out, bias)()
        return out

    def forward_call(self, w, x, out, bias=None):
        """forward with its arguments ready, as a host has them."""
        args = ProductArgs(ct.sizeof(ProductArgs), DTYPE[x.dtype], x.data_ptr(),
                           None if bias is None else bias.data_ptr(), out.data_ptr(), x.numel() // x.shape[-1],
                           DTYPE[x.dtype if bias is None else bias.dtype], 0)
        forward, check, where = self.table.forward, self._check, ct.addressof(self.exec)
        return lambda: check(forward(self.state, where, w, args))
