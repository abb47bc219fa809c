"""Peak memory of a process that loads a model and encodes texts of 512 tokens in one call.

python kernels/bench/memory.py MODEL [--texts 400]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from safetensors.numpy import load_file

import splade_kernels as sk

CHILD = """
import sys, numpy as np, splade_kernels as sk
model, count = sk.Model.load(sys.argv[1]), int(sys.argv[2])
length = min(512, model.max_tokens)
ids = np.random.default_rng(0).integers(0, model.vocabulary, length * count, np.uint32)
model.encode_sparse(ids, np.arange(count + 1) * length)
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="a transformers folder")
    parser.add_argument("--texts", type=int, default=400)
    args = parser.parse_args()
    config = json.loads((args.model / "config.json").read_text())
    with tempfile.TemporaryDirectory() as where:
        file = pathlib.Path(where) / "model.splade"
        sk.write_model(file, config, load_file(args.model / "model.safetensors"))
        child = [sys.executable, "-c", CHILD, str(file), str(args.texts)]
        done = subprocess.run(child, capture_output=True, text=True, check=True)
    print(json.dumps({"texts": args.texts, "peak_mb": int(done.stdout) / 1024}))


if __name__ == "__main__":
    main()
