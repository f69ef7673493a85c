"""Find the sentences nearest in meaning to a query."""

from __future__ import annotations

import argparse

from .embed import add_model, encode, encoder, gather
from .output import print_json

examples = """
candle search "how do I keep bread fresh" --file examples/sentences.txt
candle search "a king" "the queen waved" "he fixed the car" --top-k 1
candle search "a king" --file sentences.txt --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("query", help="what to look for")
    parser.add_argument("sentences", nargs="*", help="where to look")
    add_model(parser)
    parser.add_argument("--top-k", type=int, default=5, help="how many to show (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from ..errors import CandleError

    if args.top_k < 1:
        raise CandleError(f"--top-k is at least 1 but {args.top_k} was given")
    sentences = gather(args)
    vectors, speed = encode(encoder(args), [args.query, *sentences], args)
    lengths = (vectors * vectors).sum(-1, True).sqrt().clamp(1e-12)
    near = ((vectors / lengths)[1:] @ (vectors / lengths)[0]).tolist()
    best = sorted(range(len(sentences)), key=lambda i: -near[i])[: args.top_k]
    if args.json:
        results = [{"score": near[i], "index": i, "sentence": sentences[i]} for i in best]
        print_json({
            "query": args.query, "model": args.model, "device": str(vectors.device), "searched": len(sentences),
            "sentences_per_second": round(speed, 2), "results": results,
        })  # fmt: skip
        return 0
    for i in best:
        print(f"{near[i]:+.4f}  {sentences[i]}")
    print(f"\n{len(sentences)} sentences searched, {speed:.1f} sentences/s on {vectors.device}")
    return 0
