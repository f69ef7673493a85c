"""Chat templates: Jinja programs from a model's files, run where they can reach nothing and grow nothing."""

from __future__ import annotations

import datetime
import json
from functools import lru_cache
from typing import Any

from ..errors import BackendError, FormatError

__all__ = ["ChatTemplate"]

_LONGEST = 1 << 20  # characters or elements that a template may make by multiplying


@lru_cache(None)
def _environment() -> Any:
    try:
        import jinja2.ext
        import jinja2.nodes
        import jinja2.sandbox
    except ImportError:
        raise BackendError("chat templates are programs for jinja2: pip install 'candle[models]'") from None

    class Generation(jinja2.ext.Extension):
        """``{% generation %}``, which marks what the model said for training: here only its contents count."""

        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.CallBlock(self.call_method("_same"), [], [], body).set_lineno(line)

        def _same(self, caller: Any) -> Any:
            return caller()

    class Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            sizes = [len(v) if hasattr(v, "__len__") else abs(v) if isinstance(v, int) else 1 for v in (left, right)]
            if sizes[0] * sizes[1] > _LONGEST or (operator == "**" and max(sizes) > 1000):
                raise jinja2.exceptions.SecurityError(f"{operator} would make something too large")
            return super().call_binop(context, operator, left, right)

    found = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"])

    def refuse(message: str) -> Any:
        raise jinja2.exceptions.TemplateError(message)

    def to_json(x: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    found.filters["tojson"] = to_json
    found.globals["raise_exception"] = refuse
    found.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return found


class ChatTemplate:
    """A template: ``render(messages=..., tools=..., add_generation_prompt=..., bos_token=...)`` gives the text.

    It cannot reach attributes that lead out of it, import, loop over more than 100,000 numbers or make long texts by
    multiplication.  Raises FormatError where it is no right template, or raises an exception of its own.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._template = _compiled(source)

    def render(self, **variables: Any) -> str:
        from jinja2.exceptions import TemplateError

        try:
            return str(self._template.render(**variables))
        except TemplateError as e:
            raise FormatError(f"the chat template refuses: {e}") from None
        except (TypeError, KeyError, AttributeError, ValueError, ArithmeticError, RecursionError, MemoryError) as e:
            raise FormatError(f"the chat template does not take these messages: {type(e).__name__}: {e}") from None


@lru_cache(32)
def _compiled(source: str) -> Any:
    environment = _environment()
    from jinja2.exceptions import TemplateError

    try:
        return environment.from_string(source)
    except (TemplateError, RecursionError) as e:
        raise FormatError(f"the chat template is no right Jinja: {e}") from None
