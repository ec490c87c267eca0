"""Writes a llama checkpoint of random bfloat16 weights: 28 layers and about 4 GiB by default."""
import argparse
import json
import pathlib
import sys

import numpy


def shapes(hidden, intermediate, layers, vocabulary, heads, kv_heads):
    kv = hidden // heads * kv_heads
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(layers):
        at = f"model.layers.{layer}."
        yield at + "input_layernorm.weight", (hidden,)
        yield at + "self_attn.q_proj.weight", (hidden, hidden)
        yield at + "self_attn.k_proj.weight", (kv, hidden)
        yield at + "self_attn.v_proj.weight", (kv, hidden)
        yield at + "self_attn.o_proj.weight", (hidden, hidden)
        yield at + "post_attention_layernorm.weight", (hidden,)
        yield at + "mlp.gate_proj.weight", (intermediate, hidden)
        yield at + "mlp.up_proj.weight", (intermediate, hidden)
        yield at + "mlp.down_proj.weight", (hidden, intermediate)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocabulary, hidden)


def values(random, shape):
    """Small numbers of both signs, as the upper halves of float32."""
    bits = random.integers(0, 1 << 16, size=shape, dtype=numpy.uint16)
    return (bits & 0x807F) | 0x3C00


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--hidden", type=int, default=2304)
    parser.add_argument("--intermediate", type=int, default=8192)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--vocabulary", type=int, default=32000)
    parser.add_argument("--heads", type=int, default=36)
    parser.add_argument("--kv-heads", type=int, default=12)
    parser.add_argument("--shard-gib", type=float, default=1.0)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": args.hidden, "intermediate_size": args.intermediate,
        "max_position_embeddings": 2048, "num_attention_heads": args.heads,
        "num_key_value_heads": args.kv_heads, "num_hidden_layers": args.layers,
        "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "vocab_size": args.vocabulary, "bos_token_id": 1, "eos_token_id": 2}
    (args.folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")

    random = numpy.random.default_rng(6)
    shards, shard, size, total = [], [], 0, 0
    for name, shape in shapes(args.hidden, args.intermediate, args.layers, args.vocabulary,
                              args.heads, args.kv_heads):
        count = 2 * int(numpy.prod(shape))
        if shard and size + count > args.shard_gib * 2**30:
            shards.append(shard)
            shard, size = [], 0
        shard.append((name, shape))
        size += count
        total += count
    shards.append(shard)
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        write_shard(args.folder / file, shard, random)
        weight_map |= {name: file for name, _ in shard}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (args.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    print(f"{args.folder}: {total / 2**30:.2f} GiB in {len(shards)} shards", file=sys.stderr)


def write_shard(path, shard, random):
    """By hand, tensor after tensor: numpy has no bfloat16, and a shard need not be in memory."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shard:
        count = 2 * int(numpy.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, at + count]}
        at += count
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, shape in shard:
            file.write(values(random, shape).tobytes())


if __name__ == "__main__":
    main()
