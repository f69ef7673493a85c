"""Train a model as a TOML file says; the same command goes on with a run that was cut short."""

from __future__ import annotations

import argparse

from candle.cli.output import print_json

examples = """
candle train examples/mnist.toml
candle train examples/mnist.toml --steps 100 --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="the TOML file; docs/training.md describes it")
    parser.add_argument("--steps", type=int, metavar="N", help="end after N steps, whatever the file says")
    parser.add_argument("--fresh", action="store_true", help="begin anew, although there is a checkpoint")


def run(args: argparse.Namespace) -> int:
    from .config import from_config

    trainer = from_config(args.config)
    if args.steps is not None:
        trainer.steps = args.steps
    if args.fresh:
        (trainer.folder / "last.safetensors").unlink(missing_ok=True)
    last = trainer.fit()
    if args.json:
        print_json({"folder": str(trainer.folder), **last})
    else:
        print(f"{trainer.folder}: " + ", ".join(f"{k} {v:.6g}" for k, v in last.items()))
    return 0
