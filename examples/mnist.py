"""Networks for handwritten digits, a multi-layer perceptron and a convolutional one: `candle train examples/mnist.toml`."""

from candle import nn


def mlp(hidden: int = 128) -> nn.Module:
    """Two layers, for pictures [n, 1, 28, 28]."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def cnn(width: int = 16) -> nn.Module:
    """Two convolutions and two layers, with batch norm and dropout."""
    return nn.Sequential(
        nn.Conv2d(1, width, 5, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 5, padding=2, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(2 * width * 49, 128), nn.ReLU(), nn.Dropout(0.25), nn.Linear(128, 10),
    )  # fmt: skip


def picture(x):
    """uint8[1, 28, 28] as float32 of mean 0 and variance 1."""
    return (x.astype("float32") / 255 - 0.1307) / 0.3081
