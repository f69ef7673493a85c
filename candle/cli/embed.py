"""Turn sentences into vectors with a sentence encoder."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from .output import print_json

examples = """
candle embed "the cat sat on the mat" "stocks fell"
candle embed --file sentences.txt --json
candle embed --file sentences.txt --save vectors.safetensors
"""

MODEL = "all-MiniLM-L6-v2"


def add_model(parser: argparse.ArgumentParser) -> None:
    """The options that every command with a sentence encoder has."""
    parser.add_argument(
        "--model", default=MODEL, help="a folder, an installed package's model or a hub name (default: %(default)s)"
    )
    parser.add_argument("--device", help="where to compute (default: CANDLE_DEVICE, or the best that is installed)")
    parser.add_argument("--batch-size", type=int, default=32, help="sentences at a time (default: %(default)s)")
    parser.add_argument("--file", help="a text file with one sentence a line; - is standard input")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sentences", nargs="*", help="the sentences")
    add_model(parser)
    parser.add_argument("--save", metavar="FILE", help="write the vectors to this file, as the tensor 'embeddings'")


def gather(args: argparse.Namespace) -> list[str]:
    """The sentences given on the command line and in the file; raises CandleError where there are none."""
    from ..errors import CandleError

    found = list(args.sentences)
    if args.file is not None:
        try:
            text = sys.stdin.read() if args.file == "-" else Path(args.file).read_text(encoding="utf-8")
        except UnicodeDecodeError as e:
            raise CandleError(f"{args.file} is no UTF-8 text: {e}") from None
        found += [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise CandleError("no sentences were given; write them as arguments or name a text file with --file")
    if args.batch_size < 1:
        raise CandleError(f"--batch-size is at least 1 but {args.batch_size} was given")
    return found


def encoder(args: argparse.Namespace) -> Any:
    """The sentence encoder that the options name; raises CandleError where it encodes no sentences."""
    from .. import models
    from ..errors import CandleError

    model = models.load(args.model, device=args.device)
    if not hasattr(model, "encode"):
        raise CandleError(f"{args.model} is no sentence encoder: its folder has no modules.json; give one such as {MODEL}")
    return model


def encode(model: Any, sentences: list[str], args: argparse.Namespace) -> tuple[Any, float]:
    """The vectors, float[n, d], and how many sentences a second that was."""
    begun = time.perf_counter()
    vectors = model.encode(sentences, batch_size=args.batch_size)
    vectors.numpy()
    return vectors, len(sentences) / (time.perf_counter() - begun)


def run(args: argparse.Namespace) -> int:
    sentences = gather(args)
    model = encoder(args)
    vectors, speed = encode(model, sentences, args)
    if args.save is not None:
        from ..formats import save

        save(args.save, {"embeddings": vectors}, {"model": str(args.model)} if args.save.endswith(".safetensors") else None)
    rows = vectors.tolist()
    if args.json:
        print_json({
            "model": args.model, "device": str(vectors.device), "shape": list(vectors.shape),
            "sentences_per_second": round(speed, 2),
            "embeddings": [{"sentence": s, "vector": v} for s, v in zip(sentences, rows)],
        })  # fmt: skip
        return 0
    for sentence, row in zip(sentences, rows):
        shown = ", ".join(f"{v:+.4f}" for v in row[:6])
        print(f"[{shown}{', ...' if len(row) > 6 else ''}]  {sentence}")
    print(f"\n{len(sentences)} sentences, {vectors.shape[1]} numbers each, {speed:.1f} sentences/s on {vectors.device}")
    return 0
