"""What the two benches of whole quantized models share: processes timed from their start, prefill and decode here by
`quanthost bench`, and llama.cpp through xllamacpp. Each peer runs in a process of its own, which counts its own memory."""

import json
import os
import pathlib
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]

# A peer's program: sys.argv holds the model, the threads, the prompt's tokens and the new tokens; `quantized()` comes before.
FIRST_LOGITS = """
import sys, torch
torch.set_num_threads(int(sys.argv[2]))
model = quantized(sys.argv[1])
with torch.no_grad():  # optimum-quanto 0.2.7 cannot unpack int4 in inference mode
    print(model(torch.tensor([[1, 2, 3]])).logits[0, -1, 0].item())
"""
SPEED = """
import json, sys, time, torch
torch.set_num_threads(int(sys.argv[2]))
model = quantized(sys.argv[1])
prompt = torch.tensor([[(7919 * i + 13) % model.config.vocab_size for i in range(int(sys.argv[3]))]])
count, best = int(sys.argv[4]), {"prefill": 0.0, "decode": 0.0}
with torch.no_grad():  # optimum-quanto 0.2.7 cannot unpack int4 in inference mode
    for _ in range(3):
        start = time.perf_counter()
        out = model(prompt, use_cache=True, logits_to_keep=1)
        prefilled = time.perf_counter()
        for _ in range(count):
            out = model(out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)
        best["prefill"] = max(best["prefill"], prompt.numel() / (prefilled - start))
        best["decode"] = max(best["decode"], count / (time.perf_counter() - prefilled))
print(json.dumps(best))
"""
LLAMA_CPP = """
import http.client, json, sys, urllib.parse, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx = 2048
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(sys.argv[2])
server = xllamacpp.Server(params)
best = {"prefill": 0.0, "decode": 0.0}
for run in range(3):
    connection = http.client.HTTPConnection(urllib.parse.urlparse(server.listening_address).netloc)
    body = {"prompt": [(7919 * i + 13) % 49152 for i in range(int(sys.argv[3]))], "n_predict": int(sys.argv[4]),
            "temperature": 0, "ignore_eos": True, "cache_prompt": False}
    connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
    timings = json.loads(connection.getresponse().read())["timings"]
    best["prefill"] = max(best["prefill"], timings["prompt_per_second"])
    best["decode"] = max(best["decode"], timings["predicted_per_second"])
print(json.dumps(best))
"""


def environment(build):
    return dict(os.environ, HF_HUB_OFFLINE="1", TORCHDYNAMO_DISABLE="1",
                QUANTHOST_PLUGIN_PATH=str(build / "plugins"))


def process(command, env):
    """Wall seconds from the start of one process to its end, and its peak resident MiB."""
    start = time.perf_counter()
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env) as child:
        error = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command[0]}: {error.decode()}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def output_of(command, env):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=env)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]}: {done.stderr}")
    return json.loads(done.stdout[done.stdout.index("{"):])


def method_flags(method, settings):
    return ["--method", method] + [word for setting in settings for word in ("--set", setting)]


def first_logits(args, name, peer_name, flags, peer, goal):
    """From process start to the first logits with quantize-on-load: seconds and memory of both, the best of the runs."""
    env = environment(args.build)
    here = [args.build / "bin/quanthost", "forward", args.model, "--ids", "1,2,3", "--dtype", args.dtype, "--threads",
            args.threads, "--out", args.scratch / "logits.safetensors", *flags]
    ours, memory = map(min, zip(*(process(here, env) for _ in range(args.runs + 1))))
    theirs, their_memory = map(min, zip(*(process(peer, env) for _ in range(args.runs))))
    print(f"{name:34} here {ours:9.2f} s      {peer_name:22} {theirs:9.2f} s     {theirs / ours:7.2f}x (goal {goal}x)")
    print(f"{name + ', peak':34} here {memory:9.0f} MiB    {peer_name:22} {their_memory:9.0f} MiB   "
          f"{memory / their_memory:7.2f} of theirs", flush=True)


def speed_here(args, flags):
    """Prefill and decode, tokens a second: the best of three."""
    result = output_of([args.build / "bin/quanthost", "bench", args.model, "--json", "--dtype", args.dtype, "--threads",
                        args.threads, "--prompt-tokens", args.prompt, "--new-tokens", args.tokens, *flags],
                       environment(args.build))["results"][0]
    return {"prefill": result["prefill_tokens_per_second"]["max"], "decode": result["decode_tokens_per_second"]["max"]}


def speed_of(args, python, program, model):
    return output_of([python, "-c", program, model, args.threads, args.prompt, args.tokens], environment(args.build))


def compare(name, ours, peer_name, theirs, goal):
    print(f"{name:34} here {ours:9.1f} tok/s  {peer_name:22} {theirs:9.1f} tok/s {ours / theirs:7.2f}x (goal {goal}x)",
          flush=True)


def add_arguments(parser):
    parser.add_argument("model", type=pathlib.Path, nargs="?", default=ROOT / "models/smollm2")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--load-only", action="store_true", help="start to first logits alone, for big checkpoints")
