"""Makes ggml_blocks.safetensors: random blocks of every ggml type and their values.

Expected values come from PyPI gguf 0.19.0 (gguf.quants.dequantize); written with safetensors 0.8.0 and numpy 2.4.6.
Run it in this folder: python make_golden.py
"""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from safetensors.numpy import save_file

# Where the float16 scales lie in a block of each type, in bytes.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [0], "BF16": [], "F32": [],
}
BLOCKS = 6


def main():
    random = np.random.default_rng(20240501)
    tensors = {}
    for name, offsets in SCALES.items():
        kind = GGMLQuantizationType[name]
        elements, size = GGML_QUANT_SIZES[kind]
        count = BLOCKS if elements > 1 else BLOCKS * 16
        blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
        # Normal, negative, subnormal, zero and large scales; random bytes would also give NaN.
        scales = np.array([0.013, -0.7, 3e-7, 0.0, 1000.0, -6e-5], dtype=np.float16)
        for offset in offsets:
            chosen = np.resize(np.roll(scales, offset), count)
            blocks[:, offset:offset + 2] = chosen.view(np.uint8).reshape(count, 2)
        if name in ("F32", "BF16"):
            exponent = 3 if name == "F32" else 1
            blocks[:, exponent] = random.integers(0x30, 0x48, count)  # no NaN, no infinity
        values = dequantize(blocks if elements > 1 or name == "BF16" else
                            blocks.view(np.float16 if name == "F16" else np.float32), kind)
        tensors[name + ".blocks"] = blocks.reshape(-1)
        tensors[name + ".values"] = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    save_file(tensors, "ggml_blocks.safetensors")


if __name__ == "__main__":
    main()
