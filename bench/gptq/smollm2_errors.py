"""The weighted error of quantized layers, computed alike for every tool, and rounding to nearest to hold them beside."""

import json

ERROR_SAMPLES = 16


def dense_tensors(args):
    import safetensors.torch

    tensors = safetensors.torch.load_file(args.model / "model.safetensors")
    return {name: tensor.float() for name, tensor in tensors.items()}


def is_quantized(name):
    return ".layers." in name and name.endswith("proj.weight")


def rounded(weight, bits, group_size):
    """Round to nearest on the grid that GPTQ's symmetric layers have; scales in float16."""
    import torch

    rows, columns = weight.shape
    result = torch.empty_like(weight)
    for first in range(0, columns, group_size):
        group = weight[:, first:first + group_size]
        low, high = group.amin(1).clamp(max=0), group.amax(1).clamp(min=0)
        span = torch.maximum(-low, high)
        low = torch.where(low < 0, -span, low)
        scale = ((span - low) / (2**bits - 1)).half().float().clamp(min=2.0**-24)[:, None]
        middle = 2 ** (bits - 1)
        codes = (torch.round(group / scale) + middle).clamp(0, 2**bits - 1)
        result[:, first:first + group_size] = (codes - middle) * scale
    return result


class LayerErrors:
    """tr(D H Dᵀ) / tr(W H Wᵀ) with H of the dense model's inputs."""

    def __init__(self, args, rows):
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
        self.hessians, handles = {}, []
        for name, module in model.named_modules():
            if not is_quantized(name + ".weight"):
                continue

            def add(_, inputs, name=name):
                x = inputs[0].flatten(0, 1)
                self.hessians[name] = self.hessians.get(name, 0) + x.T @ x

            handles.append(module.register_forward_pre_hook(add))
        with torch.inference_mode():
            for row in rows[:ERROR_SAMPLES]:
                model.model(torch.tensor([row]))
        self.weights = {name: module.weight.detach() for name, module in model.named_modules() if name in self.hessians}

    def of(self, quantized):
        errors = {}
        for name, weight in self.weights.items():
            values = quantized[name][:, :weight.shape[1]]  # some tools fill up a short last group
            missed, h = weight - values, self.hessians[name]
            errors[name] = (((missed @ h) * missed).sum() / ((weight @ h) * weight).sum()).item()
        return errors


def dense_of_checkpoint(args, folder):
    """The values of a quantized checkpoint: its layers unpacked by the format's definition."""
    import safetensors.torch
    import torch

    bits = json.loads((folder / "config.json").read_text())["quantization_config"]["bits"]
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    values = {}
    for key in stored:
        if not key.endswith(".qweight"):
            continue
        name = key[:-len(".qweight")]
        codes = unpacked(stored[key].T, bits)[:, :stored[name + ".g_idx"].numel()]
        scales = stored[name + ".scales"].float().T
        zeros = unpacked(stored[name + ".qzeros"], bits)[:, :codes.shape[0]].T + 1  # the first format stores one less
        groups = stored[name + ".g_idx"].long()
        values[name] = scales[:, groups] * (codes - zeros[:, groups]).float()
    assert values, folder
    return values


def unpacked(words, bits):
    """Codes of each row of words, which are a stream of bits from the lowest on."""
    import torch

    unsigned = words.long() & 0xFFFFFFFF
    stream = (unsigned[..., None] >> torch.arange(32)) & 1
    stream = stream.flatten(1)
    stream = stream[:, :stream.shape[1] // bits * bits].unflatten(1, (-1, bits))
    return (stream << torch.arange(bits)).sum(-1)
