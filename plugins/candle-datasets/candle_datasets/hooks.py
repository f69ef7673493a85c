"""What this package offers to candle: datasets by name, and a command that lists them."""

from __future__ import annotations

from candle.plugins import hookimpl

candle_api_version = (1, 0)


@hookimpl
def candle_datasets() -> dict[str, str]:
    return {
        "mnist": "candle_datasets.vision:mnist",
        "fashion-mnist": "candle_datasets.vision:fashion_mnist",
        "cifar10": "candle_datasets.vision:cifar10",
        "cifar100": "candle_datasets.vision:cifar100",
        "images": "candle_datasets.vision:ImageFolder",
        "tiny-shakespeare": "candle_datasets.text:tiny_shakespeare",
        "tiny-stories": "candle_datasets.text:tiny_stories",
        "text": "candle_datasets.text:text",
        "tokens": "candle_datasets.text:token_file",
        "table": "candle_datasets.tables:table",
        "hub": "candle_datasets.tables:hub",
    }


@hookimpl
def candle_commands() -> dict[str, str]:
    return {"datasets": "candle_datasets.command", "train": "candle_datasets.train"}
