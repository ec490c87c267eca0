"""SmolLM2 (or another checkpoint) in NF4: from process start to first logits with quantize-on-load, prefill and decode, beside
transformers + bitsandbytes and llama.cpp, in one run; prints ratios and the goals.

    python bench/bnb4/bench_model.py [models/smollm2] [--gguf FILE --llama-python /path/to/python]
    python bench/load/make_checkpoint.py /tmp/llama4g && python bench/bnb4/bench_model.py /tmp/llama4g --load-only --runs 1

FILE is the Q4_1 GGUF that scripts/get-smollm2 converts; the other Python has the package xllamacpp. Without them that row is
left out.
"""

import argparse
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import quantized_model as bench  # noqa: E402

THEIRS = """
import torch, transformers
transformers.utils.logging.disable_progress_bar()
def quantized(path):
    config = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                             bnb_4bit_compute_dtype=torch.bfloat16)
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, device_map={"": "cpu"},
                                                             quantization_config=config).eval()
"""
DENSE = """
import torch, transformers
transformers.utils.logging.disable_progress_bar()
def quantized(path):
    return transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval()
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bench.add_arguments(parser)
    parser.add_argument("--gguf", type=pathlib.Path)
    parser.add_argument("--llama-python", default=sys.executable)
    args = parser.parse_args()
    flags = bench.method_flags("bitsandbytes_4bit", ["bnb_4bit_quant_type=nf4", "bnb_4bit_compute_dtype=bfloat16"])
    with tempfile.TemporaryDirectory() as folder:
        args.scratch = pathlib.Path(folder)
        bench.first_logits(args, "NF4, start to logits", "bitsandbytes", flags,
                           [sys.executable, "-c", THEIRS + bench.FIRST_LOGITS, args.model, args.threads], 10)
    print("                                   goal for the peak: at most 0.33 of theirs")
    if args.load_only:
        return
    ours = bench.speed_here(args, flags)
    theirs = bench.speed_of(args, sys.executable, THEIRS + bench.SPEED, args.model)
    dense = bench.speed_of(args, sys.executable, DENSE + bench.SPEED, args.model)
    bench.compare("NF4 decode", ours["decode"], "bitsandbytes", theirs["decode"], "-")
    bench.compare("NF4 prefill", ours["prefill"], "bitsandbytes", theirs["prefill"], "-")
    bench.compare("NF4 prefill", ours["prefill"], "transformers bf16", dense["prefill"], 1)
    if args.gguf:
        llama = bench.speed_of(args, args.llama_python, bench.LLAMA_CPP, args.gguf)
        bench.compare("NF4 decode", ours["decode"], "llama.cpp Q4_1", llama["decode"], 1.3)
        bench.compare("NF4 prefill", ours["prefill"], "llama.cpp Q4_1", llama["prefill"], "-")


if __name__ == "__main__":
    main()
