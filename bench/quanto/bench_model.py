"""SmolLM2 (or another checkpoint) in quanto's types: from process start to first logits with quantize-on-load, prefill and
decode, beside optimum-quanto, in one run; prints ratios and the goals.

    python bench/quanto/bench_model.py [models/smollm2] [--weights int8 int4]
    python bench/load/make_checkpoint.py /tmp/llama4g && python bench/quanto/bench_model.py /tmp/llama4g --load-only --runs 1
"""

import argparse
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import quantized_model as bench  # noqa: E402

THEIRS = """
import torch, transformers
from optimum.quanto import freeze, qtypes, quantize
transformers.utils.logging.disable_progress_bar()
def quantized(path):
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval()
    quantize(model, weights=qtypes["q%s"], exclude="lm_head")
    freeze(model)
    return model
"""
DECODE_GOALS = {"int8": 3, "int4": 8}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    bench.add_arguments(parser)
    parser.add_argument("--weights", nargs="+", default=["int8", "int4"])
    args = parser.parse_args()
    for weights in args.weights:
        flags = bench.method_flags("quanto", [f"weights={weights}"])
        with tempfile.TemporaryDirectory() as folder:
            args.scratch = pathlib.Path(folder)
            bench.first_logits(args, f"{weights}, start to logits", "optimum-quanto", flags,
                               [sys.executable, "-c", THEIRS % weights + bench.FIRST_LOGITS, args.model, args.threads], 8)
        if args.load_only:
            continue
        ours = bench.speed_here(args, flags)
        theirs = bench.speed_of(args, sys.executable, THEIRS % weights + bench.SPEED, args.model)
        bench.compare(f"{weights} decode", ours["decode"], "optimum-quanto", theirs["decode"],
                      DECODE_GOALS.get(weights, "-"))
        bench.compare(f"{weights} prefill", ours["prefill"], "optimum-quanto", theirs["prefill"], "-")


if __name__ == "__main__":
    main()
