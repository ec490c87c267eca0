"""The kernel package qh_bnb4_cpu.so as Python functions: a minimal host around a plugin's entry, by ctypes."""

import ctypes as ct
import os
from concurrent.futures import ThreadPoolExecutor

import torch

I32, U32, I64, U64, P = ct.c_int32, ct.c_uint32, ct.c_int64, ct.c_uint64, ct.c_void_p
NF4, FP4 = 1, 2
QUANT_TYPE = {"nf4": NF4, "fp4": FP4}


class Str(ct.Structure):
    _fields_ = [("data", ct.c_char_p), ("size", U64)]

    @classmethod
    def of(cls, text):
        data = text.encode()
        return cls(data, len(data))


class Dtype(ct.Structure):
    _fields_ = [("code", ct.c_uint8), ("bits", ct.c_uint8), ("lanes", ct.c_uint16)]


class Device(ct.Structure):
    _fields_ = [("type", I32), ("id", I32)]


DTYPE = {torch.float32: Dtype(2, 32, 1), torch.float16: Dtype(2, 16, 1), torch.bfloat16: Dtype(4, 16, 1)}

SET_ERROR = ct.CFUNCTYPE(None, P, I32, Str, Str)
GET_SERVICE = ct.CFUNCTYPE(P, P, Str)
RANGE = ct.CFUNCTYPE(I32, P, I64, I64)
PARALLEL = ct.CFUNCTYPE(I32, P, I64, I64, P, P)


class HostApi(ct.Structure):
    _fields_ = [("struct_size", U32), ("reserved", U32), ("set_error", SET_ERROR), ("get_service", GET_SERVICE)]


class Offer(ct.Structure):
    _fields_ = [("struct_size", U32), ("major", U32), ("minor_min", U32), ("minor_max", U32), ("host", P),
                ("api", ct.POINTER(HostApi)), ("version", Str), ("path", Str)]


class Accept(ct.Structure):
    _fields_ = [("struct_size", U32), ("minor", U32), ("plugin", P), ("api", P)]


class PluginApi(ct.Structure):
    _fields_ = [("struct_size", U32), ("flags", U32), ("describe", P), ("quantizer", P),
                ("package", ct.CFUNCTYPE(I32, P, Str, Str, Str, ct.POINTER(P), ct.POINTER(P)))]


class Exec(ct.Structure):
    _fields_ = [("struct_size", U32), ("threads", U32), ("name", Str), ("device", Device), ("stream", P), ("ctx", P),
                ("allocate", P), ("release", P), ("parallel_for", PARALLEL), ("cancelled", P), ("progress", P)]


class Scales(ct.Structure):
    _fields_ = [("struct_size", U32), ("reserved", U32), ("absmax", P), ("codes", P), ("nested_absmax", P),
                ("nested_map", P), ("offset", P), ("nested_blocksize", I64)]


class Weight(ct.Structure):
    _fields_ = [("struct_size", U32), ("quant_type", I32), ("rows", I64), ("columns", I64), ("blocksize", I64),
                ("packed", P), ("scales", Scales)]


class QuantizeArgs(ct.Structure):
    _fields_ = [("struct_size", U32), ("quant_type", I32), ("source", P), ("dtype", Dtype), ("rule", I32), ("count", I64),
                ("blocksize", I64), ("packed", P), ("absmax", P)]


class ForwardArgs(ct.Structure):
    _fields_ = [("struct_size", U32), ("reserved", U32), ("input", P), ("bias", P), ("output", P), ("batch", I64),
                ("dtype", Dtype), ("bias_dtype", Dtype), ("compute_dtype", Dtype), ("reserved2", U32)]


class Kernels(ct.Structure):
    _fields_ = [("struct_size", U32), ("flags", U32),
                ("quantize_4bit", ct.CFUNCTYPE(I32, P, P, ct.POINTER(QuantizeArgs))),
                ("dequantize_4bit", ct.CFUNCTYPE(I32, P, P, ct.POINTER(Weight), Dtype, P)),
                ("quantize_8bit", ct.CFUNCTYPE(I32, P, P, P, I64, I64, I32, P, P)),
                ("dequantize_8bit", ct.CFUNCTYPE(I32, P, P, P, P, P, I64, I64, P)),
                ("quantize_scales", ct.CFUNCTYPE(I32, P, P, P, I64, I32, P, P, P)),
                ("forward", ct.CFUNCTYPE(I32, P, P, ct.POINTER(Weight), ct.POINTER(ForwardArgs)))]


class Provider:
    """The function table of a kernel package, with a host around it. threads: how many a loop is split over."""

    def __init__(self, path, package, interface, table_type, threads=2):
        self.error = ""
        self.library = ct.CDLL(path, mode=os.RTLD_NOW | os.RTLD_LOCAL)
        self._set_error = SET_ERROR(self._record)
        self._get_service = GET_SERVICE(lambda host, name: None)
        self._api = HostApi(ct.sizeof(HostApi), 0, self._set_error, self._get_service)
        self._offer = Offer(ct.sizeof(Offer), 1, 0, 0, ct.addressof(self._api), ct.pointer(self._api),
                            Str.of("interop"), Str.of(path))
        accept = Accept(struct_size=ct.sizeof(Accept))
        self._check(self.library.qh_plugin_entry_v1(ct.byref(self._offer), ct.byref(accept)))
        plugin = ct.cast(accept.api, ct.POINTER(PluginApi)).contents
        table, self.state = P(), P()
        self._check(plugin.package(accept.plugin, Str.of(package), Str.of(interface), Str.of("cpu"),
                                   ct.byref(table), ct.byref(self.state)))
        self.table = ct.cast(table, ct.POINTER(table_type)).contents
        self._pool = ThreadPoolExecutor(max(threads - 1, 1))
        self._parallel = PARALLEL(self._run_ranges)
        self._name = Str.of("cpu")
        self.exec = Exec(ct.sizeof(Exec), threads, self._name, Device(1, 0), None, None, None, None, self._parallel)

    def use_native(self, library):
        """Loops and memory come from the C library of bench/bnb4/thread_pool.cpp."""
        self._native = ct.CDLL(library)
        self.exec.parallel_for = ct.cast(self._native.bench_parallel_for, PARALLEL)
        self.exec.allocate = ct.cast(self._native.bench_allocate, P)
        self.exec.release = ct.cast(self._native.bench_release, P)
        self.exec.ctx = self.exec.threads

    def _record(self, host, kind, message, hint):
        self.error = ct.string_at(message.data, message.size).decode()

    def _run_ranges(self, ctx, count, grain, body, arg):
        run = ct.cast(body, RANGE)
        parts = max(1, min(self.exec.threads, count // max(grain, 1)))
        bounds = [count * i // parts for i in range(parts + 1)]
        others = [self._pool.submit(run, arg, a, b) for a, b in zip(bounds[1:], bounds[2:])]
        return max([run(arg, bounds[0], bounds[1])] + [f.result() for f in others])

    def _check(self, status):
        if status != 0:
            raise RuntimeError(f"status {status}: {self.error}")


class Package(Provider):
    """Functions of the table on torch tensors."""

    def __init__(self, path, threads=2):
        super().__init__(path, "bitsandbytes", "qh.bnb4.kernels/1", Kernels, threads)

    def quantize(self, x, blocksize, quant_type):
        packed = torch.empty((x.numel() + 1) // 2, dtype=torch.uint8)
        absmax = torch.empty(-(-x.numel() // blocksize))
        args = QuantizeArgs(ct.sizeof(QuantizeArgs), QUANT_TYPE[quant_type], x.data_ptr(), DTYPE[x.dtype], 0, x.numel(),
                            blocksize, packed.data_ptr(), absmax.data_ptr())
        self._check(self.table.quantize_4bit(self.state, ct.addressof(self.exec), ct.byref(args)))
        return packed, absmax

    def quantize_scales(self, absmax):
        codes = torch.empty(absmax.numel(), dtype=torch.uint8)
        nested = torch.empty(-(-absmax.numel() // 256))
        offset = torch.empty(1)
        self._check(self.table.quantize_scales(self.state, ct.addressof(self.exec), absmax.data_ptr(), absmax.numel(), 0,
                                               codes.data_ptr(), nested.data_ptr(), offset.data_ptr()))
        return codes, nested, offset

    def weight(self, packed, shape, blocksize, quant_type, absmax=None, codes=None, nested=None, map256=None, offset=None):
        pointer = lambda t: None if t is None else t.data_ptr()
        scales = Scales(ct.sizeof(Scales), 0, pointer(absmax), pointer(codes), pointer(nested), pointer(map256),
                        pointer(offset), 256)
        weight = Weight(ct.sizeof(Weight), QUANT_TYPE[quant_type], shape[0], shape[1], blocksize, packed.data_ptr(), scales)
        weight.keep = (packed, absmax, codes, nested, map256, offset)
        return weight

    def dequantize(self, weight, dtype, out=None):
        out = torch.empty(weight.rows, weight.columns, dtype=dtype) if out is None else out
        self._check(self.table.dequantize_4bit(self.state, ct.addressof(self.exec), ct.byref(weight), DTYPE[dtype],
                                               out.data_ptr()))
        return out

    def forward(self, weight, x, compute_dtype, bias=None, out=None):
        out = torch.empty(*x.shape[:-1], weight.rows, dtype=x.dtype) if out is None else out
        batch = x.numel() // x.shape[-1]
        args = ForwardArgs(ct.sizeof(ForwardArgs), 0, x.data_ptr(), None if bias is None else bias.data_ptr(),
                           out.data_ptr(), batch, DTYPE[x.dtype], DTYPE[bias.dtype if bias is not None else x.dtype],
                           DTYPE[compute_dtype], 0)
        self._check(self.table.forward(self.state, ct.addressof(self.exec), ct.byref(weight), ct.byref(args)))
        return out
