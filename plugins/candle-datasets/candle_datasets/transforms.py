"""Changes of pictures, for datasets: of arrays ``[channels, height, width]`` or of Pillow's images.

Those that draw random numbers take them from the batch's generator, so that a DataLoader's ``seed`` decides them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from candle import CandleError

from .random import generator

__all__ = [
    "CenterCrop", "ColorJitter", "Compose", "Normalize", "RandomCrop", "RandomErasing", "RandomHorizontalFlip",
    "RandomResizedCrop", "RandomRotation", "Resize", "ToArray",
]  # fmt: skip


class Compose:
    """One change after another."""

    def __init__(self, *steps: Callable[[Any], Any]) -> None:
        self.steps = tuple(steps[0]) if len(steps) == 1 and isinstance(steps[0], (list, tuple)) else steps

    def __call__(self, x: Any) -> Any:
        for step in self.steps:
            x = step(x)
        return x


class ToArray:
    """float32[channels, height, width] from 0 to 1, of a Pillow image or of uint8 numbers in that order."""

    def __call__(self, x: Any) -> np.ndarray[Any, Any]:
        if not isinstance(x, np.ndarray):
            x = np.asarray(x)
            x = x[None] if x.ndim == 2 else x.transpose(2, 0, 1)
        return x.astype(np.float32) / 255 if x.dtype == np.uint8 else x.astype(np.float32)


class Normalize:
    """``(x - mean) / std`` per channel."""

    def __init__(self, mean: Sequence[float] | float, std: Sequence[float] | float) -> None:
        self.mean, self.std = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))
        if not self.std.all():
            raise CandleError("Normalize's std is above 0 for every channel")

    def __call__(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return (np.asarray(x, np.float32) - self.mean) / self.std


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    h, w = (size, size) if isinstance(size, int) else size
    return int(h), int(w)


def _image(x: Any) -> Any:
    from PIL import Image

    if isinstance(x, Image.Image):
        return x
    array = np.asarray(x)
    if array.dtype != np.uint8:
        raise CandleError(
            f"this change takes a Pillow image or uint8[channels, h, w] but was given {array.dtype}{list(array.shape)}"
        )
    return Image.fromarray(array[0] if len(array) == 1 else np.ascontiguousarray(array.transpose(1, 2, 0)))


def _as(given: Any, image: Any) -> Any:
    """The picture in the form that was given."""
    if not isinstance(given, np.ndarray):
        return image
    array = np.asarray(image)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


class Resize:
    """To ``(height, width)``, or, given one number, with the shorter side that long; bilinear, with antialiasing."""

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = size

    def __call__(self, x: Any) -> Any:
        from PIL import Image

        picture = _image(x)
        w, h = picture.size
        if isinstance(self.size, int):
            scale = self.size / min(h, w)
            height, width = (self.size, max(1, int(w * scale))) if h <= w else (max(1, int(h * scale)), self.size)
        else:
            height, width = _pair(self.size)
        return _as(x, picture.resize((width, height), Image.Resampling.BILINEAR))


def _size(x: Any) -> tuple[int, int]:
    return (x.shape[-2], x.shape[-1]) if isinstance(x, np.ndarray) else (x.size[1], x.size[0])


def _cut(x: Any, top: int, left: int, h: int, w: int) -> Any:
    return x[..., top : top + h, left : left + w] if isinstance(x, np.ndarray) else x.crop((left, top, left + w, top + h))


def _padded(x: Any, margin: int, fill: float) -> Any:
    if isinstance(x, np.ndarray):
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(margin, margin)] * 2, constant_values=fill)
    from PIL import ImageOps

    return ImageOps.expand(x, margin, fill=int(fill))


class CenterCrop:
    """The middle part, ``(height, width)``."""

    def __init__(self, size: int | Sequence[int]) -> None:
        self.size = _pair(size)

    def __call__(self, x: Any) -> Any:
        (h, w), (height, width) = _size(x), self.size
        if height > h or width > w:
            raise CandleError(f"a crop of {self.size} needs a picture that large but was given {(h, w)}; resize it first")
        return _cut(x, (h - height) // 2, (w - width) // 2, height, width)


class RandomCrop:
    """A part at a random place, after a margin of ``padding`` was added."""

    def __init__(self, size: int | Sequence[int], padding: int = 0, fill: float = 0) -> None:
        self.size, self.padding, self.fill = _pair(size), padding, fill

    def __call__(self, x: Any) -> Any:
        x = _padded(x, self.padding, self.fill) if self.padding else x
        (h, w), (height, width) = _size(x), self.size
        if height > h or width > w:
            raise CandleError(
                f"a crop of {self.size} needs a picture that large but was given {(h, w)}; raise padding or resize it"
            )
        rng = generator()
        return _cut(x, int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1)), height, width)


class RandomHorizontalFlip:
    """Left and right exchanged with probability ``p``."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def __call__(self, x: Any) -> Any:
        if generator().random() >= self.p:
            return x
        if isinstance(x, np.ndarray):
            return x[..., ::-1]
        from PIL import ImageOps

        return ImageOps.mirror(x)


class RandomResizedCrop:
    """A part of random area (of ``scale``) and shape (of ``ratio``), resized.  https://arxiv.org/abs/1409.4842, section 6"""

    def __init__(
        self, size: int | Sequence[int], scale: tuple[float, float] = (0.08, 1.0), ratio: tuple[float, float] = (3 / 4, 4 / 3)
    ) -> None:
        self.size, self.scale, self.ratio = _pair(size), scale, ratio

    def __call__(self, x: Any) -> Any:
        h, w = _size(x)
        rng = generator()
        for _ in range(10):
            area = h * w * rng.uniform(*self.scale)
            shape = math.exp(rng.uniform(math.log(self.ratio[0]), math.log(self.ratio[1])))
            width, height = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
            if 0 < width <= w and 0 < height <= h:
                break
        else:
            width, height = min(w, round(h * self.ratio[1])), min(h, round(w / self.ratio[0]))
        part = _cut(x, int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1)), height, width)
        return Resize(self.size)(part)


class RandomRotation:
    """Turned by up to ``degrees`` about the middle, bilinear, corners filled."""

    def __init__(self, degrees: float, fill: float = 0) -> None:
        self.degrees, self.fill = degrees, fill

    def __call__(self, x: Any) -> Any:
        from PIL import Image

        picture = _image(x)
        angle = generator().uniform(-self.degrees, self.degrees)
        fill: Any = int(self.fill) if len(picture.getbands()) == 1 else (int(self.fill),) * len(picture.getbands())
        return _as(x, picture.rotate(angle, Image.Resampling.BILINEAR, fillcolor=fill))


class ColorJitter:
    """Brightness, contrast and saturation times a random factor from ``1 - given`` to ``1 + given``, in random order."""

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        self.amounts = {"Brightness": brightness, "Contrast": contrast, "Color": saturation}

    def __call__(self, x: Any) -> Any:
        from PIL import ImageEnhance

        picture, rng = _image(x), generator()
        for name in rng.permutation(list(self.amounts)):
            amount = self.amounts[str(name)]
            if amount:
                picture = getattr(ImageEnhance, str(name))(picture).enhance(rng.uniform(max(0.0, 1 - amount), 1 + amount))
        return _as(x, picture)


class RandomErasing:
    """A rectangle set to ``value`` with probability ``p``.  https://arxiv.org/abs/1708.04896"""

    def __init__(self, p: float = 0.5, scale: tuple[float, float] = (0.02, 0.33), value: float = 0) -> None:
        self.p, self.scale, self.value = p, scale, value

    def __call__(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        rng = generator()
        if rng.random() >= self.p:
            return x
        h, w = x.shape[-2:]
        area, shape = h * w * rng.uniform(*self.scale), math.exp(rng.uniform(math.log(0.3), math.log(3.3)))
        height, width = min(h, round(math.sqrt(area * shape))), min(w, round(math.sqrt(area / shape)))
        top, left = int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
        erased = np.array(x)
        erased[..., top : top + height, left : left + width] = self.value
        return erased
