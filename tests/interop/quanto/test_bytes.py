"""The CPU package against live optimum-quanto: the same bytes for thousands of tensors, products within the type's bound."""

import os

import pytest
import torch

import quanto_package as qp
from optimum.quanto import AbsmaxOptimizer, MaxOptimizer, qtypes
from optimum.quanto.tensor import quantize_activation, quantize_weight
from optimum.quanto.tensor.optimizers import HqqOptimizer

PACKAGE = os.environ.get(
    "QUANTO_PACKAGE", os.path.join(os.path.dirname(__file__), "../../../build/plugins/qh_quanto_cpu.so"))
if not os.path.exists(PACKAGE):
    pytest.skip(f"{PACKAGE} is not built", allow_module_level=True)

TENSORS = int(os.environ.get("QUANTO_TENSORS", "2000"))  # of each type
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


@pytest.fixture(scope="module")
def package():
    return qp.QuantoPackage(PACKAGE)


def same_bits(a, b):
    """Equal bytes; where both are NaN the payload does not count: torch's own differs from lane to lane."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype in (torch.int8, torch.uint8):
        return torch.equal(a, b)
    width = torch.int32 if a.element_size() == 4 else torch.int16 if a.element_size() == 2 else torch.uint8
    equal = a.contiguous().view(width) == b.contiguous().view(width)
    return bool((equal | (a.float().isnan() & b.float().isnan())).all())


def dense(index, generator):
    """Shapes, element types and value ranges in turn: even and odd sizes, large, tiny, zero rows, constant rows."""
    dtype = DTYPES[index % 3]
    rows = int(torch.randint(1, 40, (), generator=generator))
    columns = int(torch.randint(1, 300, (), generator=generator))
    w = torch.randn(rows, columns, generator=generator)
    kind = (index // 3) % 8
    if kind == 1:
        w *= 10.0 ** float(torch.randint(-6, 4, (), generator=generator))
    elif kind == 2:
        w[rows // 2] = 0
    elif kind == 3:
        w[0] = float(w[0, 0])
    elif kind == 4:
        w[:, 0] *= 1000  # one outlier a row
    elif kind == 5:
        w = w.abs()
    elif kind == 6:
        w = (w * 8).round() / 8  # many ties
    elif kind == 7:
        w = w * 60000.0 if dtype is torch.float16 else w * 1e30
    return w.to(dtype)


def group_sizes(w, axis):
    count = w.numel() // w.shape[axis]
    return [None] + [g for g in (2, 8, 32, 64, 96, 128) if count % g == 0 and g < count]


def upstream(w, qtype, axis, group_size=None, zeropoint=False):
    if qtype.bits == 8:
        return quantize_weight(w, qtype, axis, AbsmaxOptimizer()(w, qtype, axis), optimized=False)
    scale, shift = MaxOptimizer()(w, qtype, axis, group_size, zeropoint)
    return quantize_weight(w, qtype, axis, scale, shift, group_size, optimized=False)


@pytest.mark.parametrize("name", list(qp.QTYPES))
@pytest.mark.parametrize("axis", (0, -1))
def test_stores_and_dequantizes_the_same_bits(package, name, axis):
    generator = torch.Generator().manual_seed(1000 + axis)
    qtype = qtypes[name]
    for index in range(TENSORS // 2):
        w = dense(index, generator)
        groups = group_sizes(w, axis) if qtype.bits < 8 else [None]
        group_size = groups[index % len(groups)]
        zeropoint = qtype.bits < 8 and index % 5 == 4
        theirs = upstream(w, qtype, axis, group_size, zeropoint)
        our_axis = qp.PER_TENSOR if qtype.bits == 8 and w.shape[axis] == 1 else axis
        ours = package.quantize(w, name, our_axis, group_size, integer_shift=zeropoint)
        case = f"{name} axis {axis} group {group_size} {tuple(w.shape)} {w.dtype} #{index}"
        data = theirs._data._data if qtype.bits < 8 else theirs._data
        assert same_bits(ours.scale.reshape(theirs._scale.shape), theirs._scale), case
        assert same_bits(ours.data, data), case
        if qtype.bits < 8:
            # +0 and -0 as a group's minimum: torch's reduction keeps either.
            assert same_bits(ours.shift.reshape(theirs._shift.shape) + 0, theirs._shift + 0), case
        assert same_bits(package.dequantize(ours, w) + 0, theirs.dequantize() + 0), case


@pytest.mark.parametrize("name", ("qint8", "qfloat8_e4m3fn", "qfloat8_e4m3fnuz", "qfloat8_e5m2"))
def test_quantizes_activations_to_the_same_bits(package, name):
    generator = torch.Generator().manual_seed(3)
    for index in range(300):
        x = dense(index, generator)
        scale = (x.float().abs().max() / (qtypes[name].qmax * (1 + index % 3))).to(x.dtype)
        theirs = quantize_activation(x, qtypes[name], scale)
        ours = package.empty(name, qp.PER_TENSOR, None, x)
        ours.scale = scale
        package.quantize_with(x, ours)
        assert same_bits(ours.data, theirs._data), f"{name} {tuple(x.shape)} {x.dtype} #{index}"


@pytest.mark.parametrize("dtype", (torch.float32, torch.float16))
def test_refines_the_shift_as_hqq_does(package, dtype):
    w = torch.randn(32, 256, generator=torch.Generator().manual_seed(5)).to(dtype)
    w[:, 7] *= 20
    scale, shift = HqqOptimizer()(w, qtypes["qint4"], 0, 128)
    ours = package.quantize(w, "qint4", 0, 128, optimizer=qp.OPTIMIZER_HQQ)
    assert same_bits(ours.scale, scale)
    torch.testing.assert_close(ours.shift, shift, rtol=0, atol=2e-4 if dtype is torch.float32 else 4e-2)


@pytest.mark.parametrize("name", list(qp.QTYPES))
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", (1, 3, 8, 40))
def test_multiplies_as_upstream_within_the_bound(package, name, dtype, tokens):
    generator = torch.Generator().manual_seed(tokens)
    for rows, columns in ((64, 256), (48, 288), (33, 70), (1, 64)):
        w = torch.randn(rows, columns, generator=generator).to(dtype)
        x = torch.randn(tokens, columns, generator=generator).to(dtype)
        bias = torch.randn(rows, generator=generator).to(dtype)
        group = 128 if columns == 256 else 96 if columns == 288 else None
        group = group if qtypes[name].bits < 8 else None
        theirs = upstream(w, qtypes[name], 0, group)
        axis = qp.PER_TENSOR if qtypes[name].bits == 8 and rows == 1 else 0
        weight = package.quantize(w, name, axis, group)
        expected = torch.nn.functional.linear(x.double(), theirs.dequantize().double(), bias.double())
        found = package.linear(x, weight, bias)
        eps = torch.finfo(dtype).eps
        bound = eps * (2 * columns ** 0.5 + expected.abs() + 2) + 2.0 ** -22 * columns
        assert bool(((found.double() - expected).abs() <= bound).all()), f"{rows}x{columns}"
        # The gradient of the input goes through the same dense weight.
        grad = torch.randn(tokens, rows, generator=generator).to(dtype)
        expected = grad.double() @ theirs.dequantize().double()
        found = package.backward_input(grad, weight)
        bound = eps * (2 * rows ** 0.5 + expected.abs() + 2) + 2.0 ** -22 * rows
        assert bool(((found.double() - expected).abs() <= bound).all()), f"gradient {rows}x{columns}"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", (1, 20, 70))
def test_int8_by_int8_gives_upstreams_bits(package, dtype, tokens):
    generator = torch.Generator().manual_seed(8)
    for rows, columns in ((64, 256), (40, 100), (130, 64)):
        w = torch.randn(rows, columns, generator=generator).to(dtype)
        x = torch.randn(tokens, columns, generator=generator).to(dtype)
        scale = (x.float().abs().max() / 127).to(dtype)
        activation = quantize_activation(x, qtypes["qint8"], scale)
        theirs = upstream(w, qtypes["qint8"], 0)
        expected = torch.nn.functional.linear(activation, theirs)
        found = package.linear_quantized(activation._data, float(scale), package.quantize(w, "qint8"))
        assert same_bits(found, expected), f"{rows}x{columns}"


def test_finds_the_largest_magnitude(package):
    for dtype in DTYPES:
        x = torch.randn(1000, 77).to(dtype)
        assert package.absmax(x) == float(x.abs().max())
