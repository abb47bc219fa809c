"""What int8 loses: the cosine of SPLADE vectors to those of transformers in fp32, text by text.

    python kernels/bench/loss.py MODEL TEXTS.jsonl [--documents 200] [--bound 0.995]

Vectors are not pruned. Exits with 1 when a text is below the bound.
"""

import argparse
import itertools
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import load_file
from speed import tokens
from transformers import AutoModelForMaskedLM

import splade_kernels as sk


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path, help="a transformers folder")
    parser.add_argument("texts", help="JSONL with title and text")
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--bound", type=float, default=0.995)
    args = parser.parse_args()
    config = json.loads((args.model / "config.json").read_text())
    ours = sk.Model.from_arrays(config, load_file(args.model / "model.safetensors"))
    original = AutoModelForMaskedLM.from_pretrained(args.model).eval()
    ids, offsets = tokens(args.model, args)
    cosines = []
    for start, end in itertools.pairwise(offsets):
        text = torch.tensor(ids[start:end].astype(np.int64)[None])
        with torch.inference_mode():
            logits = original(input_ids=text).logits[0].amax(0).numpy()
        wanted = np.log1p(np.maximum(logits, 0))
        got = np.log1p(np.maximum(ours.encode(ids[start:end], [0, end - start])[0], 0))
        cosines.append(float(got @ wanted / np.linalg.norm(got) / np.linalg.norm(wanted)))
    found = {
        "documents": len(cosines),
        "smallest": min(cosines),
        "fifth_percentile": float(np.percentile(cosines, 5)),
        "mean": float(np.mean(cosines)),
    }
    print(json.dumps(found, indent=2))
    sys.exit(min(cosines) < args.bound)


if __name__ == "__main__":
    main()
