"""The CPU package's C table (qh.quanto.kernels/1) over ctypes: a host of thirty lines around one plugin file."""

import ctypes as C
import os

import torch

QTYPES = {"qint2": 1, "qint4": 2, "qint8": 3, "qfloat8_e4m3fn": 4, "qfloat8_e4m3fnuz": 5, "qfloat8_e5m2": 6}
BITS = {1: 2, 2: 4, 3: 8, 4: 8, 5: 8, 6: 8}
AXIS_FIRST, AXIS_LAST, PER_TENSOR = 0, -1, 1
OPTIMIZER_DEFAULT, OPTIMIZER_HQQ = 0, 1

DTYPES = {
    torch.float32: (2, 32), torch.float16: (2, 16), torch.bfloat16: (4, 16), torch.int8: (0, 8),
    torch.uint8: (1, 8), torch.float8_e4m3fn: (10, 8), torch.float8_e4m3fnuz: (11, 8), torch.float8_e5m2: (12, 8),
}
DATA_DTYPE = {1: torch.uint8, 2: torch.uint8, 3: torch.int8, 4: torch.float8_e4m3fn,
              5: torch.float8_e4m3fnuz, 6: torch.float8_e5m2}


class Str(C.Structure):
    _fields_ = [("data", C.c_char_p), ("size", C.c_uint64)]


def text(value):
    raw = value.encode()
    return Str(raw, len(raw))


class Device(C.Structure):
    _fields_ = [("type", C.c_int32), ("id", C.c_int32)]


class Dtype(C.Structure):
    _fields_ = [("code", C.c_uint8), ("bits", C.c_uint8), ("lanes", C.c_uint16)]


class Tensor(C.Structure):
    _fields_ = [("data", C.c_void_p), ("device", Device), ("ndim", C.c_int32), ("dtype", Dtype),
                ("shape", C.POINTER(C.c_int64)), ("strides", C.POINTER(C.c_int64)), ("byte_offset", C.c_uint64)]


class Weight(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("qtype", C.c_int32), ("axis", C.c_int32), ("reserved", C.c_uint32),
                ("group_size", C.c_int64), ("rows", C.c_int64), ("columns", C.c_int64),
                ("data", C.POINTER(Tensor)), ("scale", C.POINTER(Tensor)), ("shift", C.POINTER(Tensor))]


class Layout(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("reserved", C.c_uint32),
                ("data_shape", C.c_int64 * 2), ("scale_shape", C.c_int64 * 2)]


RANGE_FN = C.CFUNCTYPE(C.c_int32, C.c_void_p, C.c_int64, C.c_int64)
ALLOCATE = C.CFUNCTYPE(C.c_int32, C.c_void_p, C.c_uint64, C.POINTER(C.c_void_p))
RELEASE = C.CFUNCTYPE(None, C.c_void_p, C.c_void_p)
PARALLEL_FOR = C.CFUNCTYPE(C.c_int32, C.c_void_p, C.c_int64, C.c_int64, RANGE_FN, C.c_void_p)
SET_ERROR = C.CFUNCTYPE(None, C.c_void_p, C.c_int32, Str, Str)
GET_SERVICE = C.CFUNCTYPE(C.c_void_p, C.c_void_p, Str)


class Exec(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("thread_count", C.c_uint32), ("device_name", Str), ("device", Device),
                ("stream", C.c_void_p), ("ctx", C.c_void_p), ("allocate", ALLOCATE), ("release", RELEASE),
                ("parallel_for", PARALLEL_FOR), ("cancelled", C.c_void_p), ("progress", C.c_void_p)]


class HostApi(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("reserved", C.c_uint32), ("set_error", SET_ERROR),
                ("get_service", GET_SERVICE)]


class Offer(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("abi_major", C.c_uint32), ("abi_minor_min", C.c_uint32),
                ("abi_minor_max", C.c_uint32), ("host", C.c_void_p), ("api", C.POINTER(HostApi)),
                ("host_version", Str), ("plugin_path", Str)]


TP, WP, EP = C.POINTER(Tensor), C.POINTER(Weight), C.POINTER(Exec)
FIND_PACKAGE = C.CFUNCTYPE(C.c_int32, C.c_void_p, Str, Str, Str, C.POINTER(C.c_void_p), C.POINTER(C.c_void_p))


class PluginApi(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("flags", C.c_uint32), ("describe", C.c_void_p),
                ("quantizer", C.c_void_p), ("package", FIND_PACKAGE)]


class Accept(C.Structure):
    _fields_ = [("struct_size", C.c_uint32), ("abi_minor", C.c_uint32), ("plugin", C.c_void_p),
                ("api", C.POINTER(PluginApi))]


class Kernels(C.Structure):
    _fields_ = [
        ("struct_size", C.c_uint32), ("reserved", C.c_uint32),
        ("layout", C.CFUNCTYPE(C.c_int32, C.c_void_p, WP, C.POINTER(Layout))),
        ("quantize", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, TP, C.c_int32, WP)),
        ("quantize_with", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, TP, WP)),
        ("dequantize", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, WP, TP)),
        ("pack", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, C.c_int32, TP, TP)),
        ("unpack", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, C.c_int32, TP, TP)),
        ("absmax", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, TP, C.POINTER(C.c_float))),
        ("linear", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, TP, WP, TP, TP)),
        ("linear_quantized", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, TP, C.c_float, WP, TP, TP)),
        ("backward_input", C.CFUNCTYPE(C.c_int32, C.c_void_p, EP, TP, WP, TP)),
    ]


class PackageError(RuntimeError):
    def __init__(self, kind, message, hint):
        super().__init__(f"{message} ({hint})" if hint else message)
        self.kind = kind


def view(tensor):
    """A qh_tensor on a contiguous torch tensor; keeps what it points to alive."""
    assert tensor.is_contiguous() and tensor.device.type == "cpu"
    shape = (C.c_int64 * max(1, tensor.ndim))(*tensor.shape)
    out = Tensor(tensor.data_ptr(), Device(1, 0), tensor.ndim, Dtype(*DTYPES[tensor.dtype], 1),
                 C.cast(shape, C.POINTER(C.c_int64)), None, 0)
    out._keep = (tensor, shape)
    return out


class Quantized:
    """A weight with its tensors, as qh_quanto_weight describes it."""

    def __init__(self, qtype, axis, group_size, rows, columns, data=None, scale=None, shift=None):
        self.qtype, self.axis, self.group_size, self.rows, self.columns = qtype, axis, group_size, rows, columns
        self.data, self.scale, self.shift = data, scale, shift

    def abi(self):
        views = [None if t is None else view(t) for t in (self.data, self.scale, self.shift)]
        out = Weight(C.sizeof(Weight), self.qtype, self.axis, 0, self.group_size, self.rows, self.columns,
                     *[None if v is None else C.pointer(v) for v in views])
        out._keep = views
        return out


class QuantoPackage:
    def __init__(self, path, exec_library=None):
        self.error = None
        self._memory = {}

        def set_error(_host, kind, message, hint):
            read = lambda s: C.string_at(s.data, s.size).decode() if s.size else ""
            self.error = PackageError(kind, read(message), read(hint))

        self._set_error = SET_ERROR(set_error)
        self._get_service = GET_SERVICE(lambda _host, _id: None)
        self._api = HostApi(C.sizeof(HostApi), 0, self._set_error, self._get_service)
        offer = Offer(C.sizeof(Offer), 1, 0, 0, None, C.pointer(self._api), text("interop"), text(path))
        accept = Accept(C.sizeof(Accept))
        self._library = C.CDLL(os.path.abspath(path), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        assert self._library.qh_plugin_entry_v1(C.byref(offer), C.byref(accept)) == 0, self.error
        table, self._self = C.c_void_p(), C.c_void_p()
        self._check(accept.api.contents.package(accept.plugin, text("quanto"), text("qh.quanto.kernels/1"),
                                                text("cpu"), C.byref(table), C.byref(self._self)))
        self.table = C.cast(table, C.POINTER(Kernels)).contents
        if exec_library:
            self._exec_library = C.CDLL(os.path.abspath(exec_library))
            self._exec_library.bench_exec.restype = EP
            self.exec = self._exec_library.bench_exec(torch.get_num_threads())
        else:
            self.exec = C.pointer(self._python_exec())

    def _python_exec(self):
        def allocate(_ctx, size, out):
            memory = C.create_string_buffer(size + 64)
            address = (C.addressof(memory) + 63) & ~63
            self._memory[address] = memory
            out[0] = address
            return 0

        def release(_ctx, memory):
            self._memory.pop(memory, None)

        self._callbacks = (ALLOCATE(allocate), RELEASE(release),
                           PARALLEL_FOR(lambda _ctx, count, _grain, body, arg: body(arg, 0, count) if count else 0))
        return Exec(C.sizeof(Exec), 1, text("cpu"), Device(1, 0), None, None, *self._callbacks, None, None)

    def _check(self, status):
        if status != 0:
            error, self.error = self.error, None
            raise error or PackageError(status, f"status {status}", "")

    def empty(self, qtype, axis, group_size, dense, integer_shift=False):
        rows = dense.shape[0] if axis != AXIS_LAST else dense.numel() // dense.shape[-1]
        out = Quantized(QTYPES[qtype], axis, group_size or 0, rows, dense.numel() // rows)
        layout = Layout(C.sizeof(Layout))
        self._check(self.table.layout(self._self, C.byref(out.abi()), C.byref(layout)))
        shape = lambda s: [] if s[0] == 0 else list(s)
        out.data = torch.empty(shape(layout.data_shape), dtype=DATA_DTYPE[out.qtype])
        out.scale = torch.empty(shape(layout.scale_shape), dtype=dense.dtype)
        if BITS[out.qtype] < 8:
            out.shift = torch.empty(shape(layout.scale_shape), dtype=torch.uint8 if integer_shift else dense.dtype)
        return out

    def quantize(self, dense, qtype, axis=AXIS_FIRST, group_size=None, optimizer=OPTIMIZER_DEFAULT,
                 integer_shift=False):
        out = self.empty(qtype, axis, group_size, dense, integer_shift)
        self._check(self.table.quantize(self._self, self.exec, view(dense), optimizer, out.abi()))
        return out

    def quantize_with(self, dense, weight):
        self._check(self.table.quantize_with(self._self, self.exec, view(dense), weight.abi()))

    def dequantize(self, weight, like):
        out = torch.empty_like(like)
        self._check(self.table.dequantize(self._self, self.exec, weight.abi(), view(out)))
        return out

    def absmax(self, x):
        out = C.c_float()
        self._check(self.table.absmax(self._self, self.exec, view(x), C.byref(out)))
        return out.value

    def linear(self, x, weight, bias=None):
        out = torch.empty(*x.shape[:-1], weight.rows, dtype=x.dtype)
        b = None if bias is None else view(bias)
        self._check(self.table.linear(self._self, self.exec, view(x), weight.abi(), b, view(out)))
        return out

    def linear_call(self, x, weight):
        """linear() as a call whose arguments are ready, as a compiled host's are: for benchmarks."""
        out = torch.empty(*x.shape[:-1], weight.rows, dtype=x.dtype)
        args = self._self, self.exec, view(x), weight.abi(), None, view(out)  # keep their tensors

        def call():
            self._check(self.table.linear(*args))
            return out

        return call

    def linear_quantized(self, x_data, x_scale, weight, bias=None):
        out = torch.empty(*x_data.shape[:-1], weight.rows, dtype=weight.scale.dtype)
        b = None if bias is None else view(bias)
        self._check(self.table.linear_quantized(self._self, self.exec, view(x_data), x_scale, weight.abi(), b,
                                                view(out)))
        return out

    def backward_input(self, grad, weight):
        out = torch.empty(*grad.shape[:-1], weight.columns, dtype=grad.dtype)
        self._check(self.table.backward_input(self._self, self.exec, view(grad), weight.abi(), view(out)))
        return out
