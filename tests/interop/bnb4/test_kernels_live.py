"""The CPU kernels beside bitsandbytes itself: packed bytes, scales, nested scales and dequantized values, bit by bit.

Three differences are upstream's own and are named here:
* NaN: LibTorch's maximum gives NaNs of different payloads for short and full blocks; ours is always 0x7fc00000. Any
  NaN equals any other here. bitsandbytes' scalar path rounds the NaN 0xffffffff to the bfloat16 0: ours stays NaN.
* The sign of zero: bitsandbytes dequantizes FP4 code 8 to -0 where its scalar path runs (rows of other than a multiple of
  16) and to +0 elsewhere. Ours is +0, as its stored quant_map says.
* Denormal bfloat16: with AVX512-BF16, whose conversion flushes them, bitsandbytes dequantizes to 0 what is below 2^-126.
  Ours keeps the rounded value, as bitsandbytes does everywhere else.
And one of its defects is left out: its AVX-512 dequantize is wrong when blocks do not end with rows, so such weights are
compared with the format's formula instead.
"""

import os
import random

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import bitsandbytes.functional as F
import pytest
import torch

from kernel_package import Package

ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../../.."
PLUGINS = os.environ.get("QUANTHOST_BUILD_PLUGINS", ROOT + "/build/plugins")
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
BLOCKSIZES = [32, 64, 128, 256, 512, 1024, 2048, 4096]
CASES = 2000


@pytest.fixture(scope="module")
def package():
    torch.set_num_threads(1)  # LibTorch's mean of many values depends on its number of threads
    return Package(PLUGINS + "/qh_bnb4_cpu.so", threads=3)


def same(ours, theirs):
    """Equal bits, but for the three named differences."""
    ours, theirs = ours.flatten(), theirs.flatten()
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    if not ours.dtype.is_floating_point:
        return torch.equal(ours, theirs)
    is_bfloat = torch.tensor(ours.dtype == torch.bfloat16)
    flushed = is_bfloat & (theirs == 0) & ((ours.abs() < 2.0**-126) | ours.isnan())
    return bool(((ours == theirs) | (ours.isnan() & theirs.isnan()) | flushed).all())


def make(generator, index):
    """A matrix of one of many kinds, and what it is called."""
    size = generator.choice([1, 2, 3, 31, 33, 63, 64, 65, 100, 255, 1000, 4096, 4097, 20000, 65537])
    if index % 200 == 0:
        size = 1_000_000
    columns = generator.choice([size, 16, 64, 128, 100, 1])
    rows = max(1, size // columns)
    x = torch.randn(rows, columns, generator=torch.Generator().manual_seed(index))
    kind = generator.choice(["normal", "normal", "tiny", "zeros", "denormal", "infinite", "nan", "ties", "huge", "constant"])
    flat = x.view(-1)
    if kind == "tiny":
        x *= 1e-6
    elif kind == "zeros":
        x[torch.rand(x.shape) < 0.7] = 0
        flat[: flat.numel() // 2] = 0
    elif kind == "denormal":
        x *= 1e-39
    elif kind == "infinite":
        flat[generator.randrange(flat.numel())] = float("inf") * generator.choice([1, -1])
    elif kind == "nan":
        flat[generator.randrange(flat.numel())] = float("nan")
    elif kind == "ties":
        x = (x * 4).round() / 16
    elif kind == "huge":
        x *= 1e37
    elif kind == "constant":
        x.fill_(generator.choice([0.1, -3.0]))
    return x.contiguous(), kind


def test_two_thousand_tensors_give_the_same_bits(package):
    generator = random.Random(7)
    compared = {"packed": 0, "dequantized": 0, "nested": 0}
    for index in range(CASES):
        x, kind = make(generator, index)
        dtype, blocksize = generator.choice(DTYPES), generator.choice(BLOCKSIZES)
        quant_type, nested = generator.choice(["nf4", "fp4"]), generator.random() < 0.5
        x = x.to(dtype)
        case = f"case {index}: {kind} {list(x.shape)} {dtype} {quant_type} blocks of {blocksize} nested={nested}"
        theirs, state = F.quantize_4bit(x, blocksize=blocksize, quant_type=quant_type)
        packed, absmax = package.quantize(x, blocksize, quant_type)
        assert torch.equal(packed, theirs.flatten()), case
        assert same(absmax, state.absmax), case
        compared["packed"] += 1

        weight = package.weight(packed, x.shape, blocksize, quant_type, absmax=absmax)
        expected = expected_dense(theirs, state, x.shape, blocksize)
        for out_dtype in {dtype, torch.float32}:
            assert same(package.dequantize(weight, out_dtype), expected(out_dtype)), case
        compared["dequantized"] += 1

        if nested and not absmax.isnan().any() and not absmax.isinf().any():
            compare_nested(package, x, packed, absmax, blocksize, quant_type, case)
            compared["nested"] += 1
    print(compared)
    assert compared["packed"] == CASES and compared["nested"] > CASES / 4


def expected_dense(theirs, state, shape, blocksize):
    """bitsandbytes' own result where it is right, else the format's formula."""
    aligned = shape[-1] % blocksize == 0 or shape[-1] % 16 != 0 or blocksize >= 2048 or shape[0] == 1

    def formula(dtype):
        codes = torch.stack([theirs.flatten() >> 4, theirs.flatten() & 15], 1).flatten()[: shape[0] * shape[1]]
        scales = state.absmax.repeat_interleave(blocksize)[: codes.numel()]
        return (state.code[codes.long()] * scales).to(dtype)

    def theirs_in(dtype):
        state.dtype = dtype
        return F.dequantize_4bit(theirs, state)

    return theirs_in if aligned else formula


def compare_nested(package, x, packed, absmax, blocksize, quant_type, case):
    theirs, state = F.quantize_4bit(x, blocksize=blocksize, quant_type=quant_type, compress_statistics=True)
    codes, nested, offset = package.quantize_scales(absmax)
    assert torch.equal(codes, state.absmax), case
    assert same(nested, state.state2.absmax), case
    assert offset.item() == state.offset.item(), case
    weight = package.weight(packed, x.shape, blocksize, quant_type, codes=codes, nested=nested,
                            map256=state.state2.code, offset=offset)
    plain = F.dequantize_blockwise(state.absmax, state.state2) + state.offset
    expanded = package.weight(packed, x.shape, blocksize, quant_type, absmax=plain.contiguous())
    assert same(package.dequantize(weight, x.dtype), package.dequantize(expanded, x.dtype)), case


def test_the_tables_are_theirs(package):
    from bitsandbytes.functional import get_4bit_type

    for quant_type in ("nf4", "fp4"):
        packed = torch.arange(0, 256, 17, dtype=torch.uint8)  # both nibbles of byte i are i
        weight = package.weight(packed, (1, 32), 32, quant_type, absmax=torch.ones(1))
        assert torch.equal(package.dequantize(weight, torch.float32).flatten()[::2],
                           get_4bit_type(quant_type, device="cpu"))


@pytest.mark.parametrize("columns,rows", [(576, 1536), (4096, 256), (128, 33), (96, 40)])
@pytest.mark.parametrize("batch", [1, 4, 16, 40])
def test_products_match_the_dequantized_weight(package, columns, rows, batch):
    torch.manual_seed(batch)
    dense = torch.randn(rows, columns) * 0.05
    packed, absmax = package.quantize(dense, 64, "nf4")
    weight = package.weight(packed, dense.shape, 64, "nf4", absmax=absmax)
    reference = package.dequantize(weight, torch.float32).double()
    for dtype, compute, bound in [(torch.float32, torch.float32, 1e-5), (torch.bfloat16, torch.bfloat16, 1e-2),
                                  (torch.float16, torch.float16, 1e-3), (torch.float32, torch.bfloat16, 1e-2)]:
        x = torch.randn(batch, columns).to(dtype)
        bias = torch.randn(rows).to(dtype)
        expected = x.double() @ reference.T + bias.double()
        error = (package.forward(weight, x, compute, bias).double() - expected).abs().max() / expected.abs().max()
        assert error < bound, (dtype, compute, error)
