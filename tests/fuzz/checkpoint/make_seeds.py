"""Makes the first seeds of the checkpoint fuzz targets: small files that reach every branch of the readers.

gguf 0.19.0, numpy 2.4.6. Run it in this folder: python make_seeds.py. Seeds that a fuzzer found lie beside them.
"""

import json
import struct

import gguf
import numpy as np

CORPUS = "corpus/"


def safetensors_seeds():
    every = ["BOOL", "F4", "F6_E2M3", "U8", "F8_E4M3", "I16", "BF16", "I32", "F32", "C64", "F64", "I64", "U64"]
    bits = {"F4": 4, "F6_E2M3": 6, "I16": 16, "BF16": 16, "I32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}
    header, end = {"__metadata__": {"format": "pt", "é\n": "v"}}, 0
    for dtype in every:
        size = bits.get(dtype, 8) * 8 // 8
        header["t." + dtype] = {"dtype": dtype, "shape": [2, 4], "data_offsets": [end, end + size]}
        end += size
    texts = {
        "every_dtype": (json.dumps(header), end),
        "empty": ("{}", 0),
        "scalar_and_unknown_fields": ('{"a":{"x":[{"y":null}],"dtype":"F32","shape":[],"data_offsets":[0,4]}}', 4),
        "duplicate": ('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1),
        "hole": ('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', 2),
    }
    for name, (text, size) in texts.items():
        data = text.encode()
        with open(CORPUS + "safetensors/" + name, "wb") as out:
            out.write(struct.pack("<Q", len(data)) + data + bytes(size))


def json_seeds():
    index = {"metadata": {"total_size": 8}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../x"}}
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",
              "dtype": None, "quantization_config": {"quant_method": "gptq"}, "eps": 1e-5, "big": 1 << 70}
    for folder, value in (("index", index), ("config", config)):
        with open(f"{CORPUS}{folder}/plain", "w") as out:
            json.dump(value, out)
    with open(CORPUS + "config/deep", "w") as out:
        out.write("[" * 600 + "]" * 600)
    with open(CORPUS + "config/number_too_large", "w") as out:
        out.write('{"a":1e999}')


def gguf_seed(name, arch, model, pre, tied):
    writer = gguf.GGUFWriter(f"{CORPUS}gguf/{name}", arch)
    writer.add_block_count(1)
    writer.add_context_length(8)
    writer.add_embedding_length(4)
    writer.add_feed_forward_length(2)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(["<s>", "a", "b", "ab"])
    writer.add_token_types([3, 1, 1, 1])
    if model == "gpt2":
        writer.add_token_merges(["a b"])
    else:
        writer.add_token_scores([0.0, -1.0, -2.0, -3.0])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_chat_template("{{ messages }}")
    shapes = {"token_embd.weight": (4, 4), "output_norm.weight": (4,), "blk.0.attn_norm.weight": (4,),
              "blk.0.ffn_norm.weight": (4,), "blk.0.attn_q.weight": (4, 4), "blk.0.attn_k.weight": (2, 4),
              "blk.0.attn_v.weight": (2, 4), "blk.0.attn_output.weight": (4, 4), "blk.0.ffn_gate.weight": (2, 4),
              "blk.0.ffn_up.weight": (2, 4), "blk.0.ffn_down.weight": (4, 2)}
    if not tied:
        shapes["output.weight"] = (4, 4)
    for tensor, shape in shapes.items():
        writer.add_tensor(tensor, np.ones(shape, dtype=np.float16 if len(shape) > 1 else np.float32))
    if tied:
        writer.add_tensor("rope_freqs.weight", np.ones(1, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    safetensors_seeds()
    json_seeds()
    gguf_seed("llama", "llama", "gpt2", "smollm", True)
    gguf_seed("qwen2", "qwen2", "gpt2", "qwen2", False)
    gguf_seed("sentence_piece", "llama", "llama", "default", False)
