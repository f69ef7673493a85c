"""Have a language model write: text to standard output, tokens a second to standard error; without a prompt a conversation."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .output import print_json

examples = """
candle run model.gguf "Once upon a time" --max-tokens 64
candle run org/name "Why is the sky blue?" --temperature 0.7 --top-p 0.9 --seed 1
candle run model-folder
"""

_HELP = """/clear forgets the conversation, /system TEXT sets what the model is told first, /undo takes the last question back,
/save FILE writes the conversation as JSON, /exit or Ctrl-D ends; Ctrl-C stops an answer."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a GGUF file, a folder or a hub name")
    parser.add_argument("prompt", nargs="?", help="what to go on from; - is standard input; without it, a conversation")
    parser.add_argument("--max-tokens", type=int, default=256, help="how many tokens to write at most (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (default: %(default)s)")
    parser.add_argument("--top-k", type=int, help="draw from so many of the likeliest tokens")
    parser.add_argument("--top-p", type=float, help="draw from the likeliest tokens that together have this probability")
    parser.add_argument("--min-p", type=float, help="draw from tokens with this share of the likeliest's probability")
    parser.add_argument("--typical-p", type=float, help="draw from the tokens that surprise as much as is to be expected")
    parser.add_argument("--repetition-penalty", type=float, default=1.0, help="above 1, tokens that were there are less likely")
    parser.add_argument("--frequency-penalty", type=float, default=0.0, help="subtracted for each time a token was written")
    parser.add_argument("--presence-penalty", type=float, default=0.0, help="subtracted from tokens that were written")
    parser.add_argument("--seed", type=int, help="makes what is drawn the same at every run")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text; may be repeated")
    parser.add_argument("--ignore-eos", action="store_true", help="go on past the model's end tokens")
    parser.add_argument("--chat", action="store_true", help="put the prompt as a question, by the model's chat template")
    parser.add_argument("--system", metavar="TEXT", help="what the model is told before the conversation")
    parser.add_argument("--eager", action="store_true", help="do not capture the decoding step")
    parser.add_argument("--device", help="where to compute (default: CANDLE_DEVICE, or the best that is installed)")
    parser.add_argument("--dtype", help="compute in this dtype, such as float32; quantised weights are dequantised")


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The options as the settings of ``Writer.write``."""
    names = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty", "frequency_penalty", "presence_penalty",
             "seed", "stop", "ignore_eos")  # fmt: skip
    return {"max_new_tokens": args.max_tokens, **{n: getattr(args, n) for n in names}}


def figures(count: Any) -> dict[str, Any]:
    """The figures of a text as plain values."""
    return {
        "prompt_tokens": count.prompt, "tokens": count.written, "seconds_to_first_token": round(count.first, 4),
        "tokens_per_second": round(count.speed, 2), "end": count.end,
    }  # fmt: skip


def run(args: argparse.Namespace) -> int:
    from ..generate import load

    writer = load(args.model, device=args.device, dtype=args.dtype, compiled=not args.eager)
    if args.prompt is None:
        return converse(writer, args)
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt
    if args.chat or args.system:
        messages = ([{"role": "system", "content": args.system}] if args.system else []) + [{"role": "user", "content": prompt}]
        pieces = writer.chat(messages, **settings_of(args))
    else:
        pieces = writer.write(prompt, **settings_of(args))
    if args.json:
        print_json({"model": str(args.model), "prompt": prompt, "text": "".join(pieces), **figures(writer.count)})
        return 0
    show(pieces)
    tell(writer.count)
    return 0


def show(pieces: Any) -> str:
    """Print a text as it comes; returns it."""
    found = []
    try:
        for piece in pieces:
            found.append(piece)
            print(piece, end="", flush=True)
    finally:
        print(flush=True)
    return "".join(found)


def tell(count: Any) -> None:
    """The line of figures, on standard error."""
    read = f"{count.prompt} tokens read, the first written after {count.first:.2f} s"
    print(f"{read}; {count.written} written, {count.speed:.1f} tokens/s", file=sys.stderr)


def converse(writer: Any, args: argparse.Namespace) -> int:
    """Questions and answers until the end of input."""
    import json

    from ..errors import CandleError

    if not writer.chats:
        raise CandleError(f"{args.model} has no chat template, so it was not made for conversation; give a prompt to go on from")
    said: list[dict[str, str]] = []
    system = args.system
    print(_HELP, file=sys.stderr)
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            return 0
        word, _, rest = line.partition(" ")
        if word in ("/exit", "/quit", "/bye"):
            return 0
        if word == "/clear":
            said = []
        elif word == "/undo":
            del said[-2:]
        elif word == "/system":
            system, said = rest or None, []
        elif word == "/save":
            try:
                with open(rest, "w", encoding="utf-8") as f:
                    json.dump(said, f, ensure_ascii=False, indent=1)
            except OSError as e:
                print(f"candle: {e}", file=sys.stderr)
        elif word.startswith("/"):
            print(_HELP, file=sys.stderr)
        elif line:
            said.append({"role": "user", "content": line})
            first = [{"role": "system", "content": system}] if system else []
            answer: list[str] = []
            try:
                show(_kept(writer.chat([*first, *said], **settings_of(args)), answer))
                tell(writer.count)
            except KeyboardInterrupt:
                print(file=sys.stderr)
            said.append({"role": "assistant", "content": "".join(answer)})


def _kept(pieces: Any, into: list[str]) -> Any:
    for piece in pieces:
        into.append(piece)
        yield piece
