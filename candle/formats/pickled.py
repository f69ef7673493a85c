"""A reader of pickles that executes nothing: opcodes build plain values, and calls go to a given table of names only."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping

from ..errors import FormatError

__all__ = ["Class", "read"]

_CONSTANTS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8",
}  # fmt: skip
_LITERALS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


@dataclass(frozen=True)
class Class:
    """A class or function of the table that a pickle names, and what is done where the pickle calls it."""

    name: str
    call: Callable[..., Any]


@dataclass
class _Machine:
    names: Mapping[str, Callable[..., Any] | Any]
    persistent: Callable[[Any], Any]
    where: str
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def wrong(self, text: str) -> FormatError:
        return FormatError(f"{self.where}: {text}")

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.wrong("the pickle takes a value from an empty stack")
        return self.stack.pop()

    def top(self) -> Any:
        x = self.pop()
        self.stack.append(x)
        return x

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise self.wrong("the pickle closes a mark that was not set")
        at = self.marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def named(self, module: Any, name: Any) -> Any:
        full = f"{module}.{name}"
        if not isinstance(module, str) or not isinstance(name, str):
            raise self.wrong("the pickle names a global by something that is no string")
        if full not in self.names:
            raise self.wrong(
                f"the pickle asks for {full[:200]!r}, which would run code or is unknown here; only tensors and plain values are "
                "read, so save a state_dict"
            )
        found = self.names[full]
        return Class(full, found) if callable(found) else found

    def call(self, function: Any, args: Any) -> Any:
        if not isinstance(function, Class) or not isinstance(args, tuple):
            raise self.wrong(f"the pickle calls {str(function)[:80]!r}, which is no function of the table")
        try:
            return function.call(*args)
        except FormatError:
            raise
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as e:
            raise self.wrong(f"the pickle calls {function.name} with arguments that do not fit: {e}") from None

    def put(self, pairs: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise self.wrong("the pickle sets items of something that is no dictionary")
        for key, value in zip(pairs[::2], pairs[1::2]):
            try:
                target[key] = value
            except TypeError:
                raise self.wrong(f"the pickle has a dictionary with a {type(key).__name__} as a key") from None

    def extend(self, items: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, set):
            try:
                target.update(items)
            except TypeError:
                raise self.wrong("the pickle has a set of something that cannot be in one") from None
        else:
            raise self.wrong("the pickle appends to something that is no list")

    def build(self, state: Any) -> None:
        target = self.top()
        if hasattr(target, "restore"):
            target.restore(state)
        elif not isinstance(target, dict):  # attributes of an ordered dictionary, such as a state_dict's versions, are left
            raise self.wrong(f"the pickle gives a state to a {type(target).__name__}")


def read(file: Any, where: str, names: Mapping[str, Any], persistent: Callable[[Any], Any]) -> Any:
    """The value of the pickle that begins where the file stands; the file then stands behind it.

    ``names`` maps "module.name" to a function that takes a call's arguments, or to a value that is no function.
    Raises FormatError for any other name, for opcodes that only run code, and where the pickle is not right.
    """
    m = _Machine(names, persistent, where)
    try:
        for op, arg, _ in pickletools.genops(file):
            step = op.name
            if step == "STOP":
                if len(m.stack) != 1 or m.marks:
                    raise m.wrong(f"the pickle ends with {len(m.stack)} values")
                return m.stack[0]
            _run(m, step, arg)
    except FormatError as e:
        raise e if str(e).startswith(where) else m.wrong(str(e)) from None
    except (ValueError, EOFError, IndexError, UnicodeDecodeError, OverflowError) as e:
        raise m.wrong(f"the pickle is truncated or damaged: {e}") from None
    raise m.wrong("the pickle has no end")


def _run(m: _Machine, step: str, arg: Any) -> None:
    push = m.stack.append
    if step in _CONSTANTS:
        push(arg)
    elif step in ("BINGET", "LONG_BINGET", "GET"):
        if int(arg) not in m.memo:
            raise m.wrong(f"the pickle asks for value {arg} before it was there")
        push(m.memo[int(arg)])
    elif step in ("BINPUT", "LONG_BINPUT", "PUT"):
        m.memo[int(arg)] = m.top()
    elif step == "MEMOIZE":
        m.memo[len(m.memo)] = m.top()
    elif step == "MARK":
        m.marks.append(len(m.stack))
    elif step in _LITERALS:
        push(_LITERALS[step])
    elif step in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_SET"):
        push({"D": {}, "L": [], "T": (), "S": set()}[step[6]])
    elif step in ("TUPLE1", "TUPLE2", "TUPLE3"):
        items = [m.pop() for _ in range(int(step[-1]))]
        push(tuple(reversed(items)))
    elif step in ("TUPLE", "LIST", "FROZENSET", "DICT"):
        items = m.since_mark()
        if step == "DICT":
            push({})
            m.put(items)
        else:
            push({"T": tuple, "L": list, "F": frozenset}[step[0]](items))
    elif step == "SETITEM":
        value, key = m.pop(), m.pop()
        m.put([key, value])
    elif step == "SETITEMS":
        m.put(m.since_mark())
    elif step == "APPEND":
        m.extend([m.pop()])
    elif step in ("APPENDS", "ADDITEMS"):
        m.extend(m.since_mark())
    elif step == "GLOBAL":
        push(m.named(*arg.split(" ", 1)))
    elif step == "STACK_GLOBAL":
        name, module = m.pop(), m.pop()
        push(m.named(module, name))
    elif step in ("REDUCE", "NEWOBJ"):
        args, function = m.pop(), m.pop()
        push(m.call(function, args))
    elif step == "BUILD":
        m.build(m.pop())
    elif step in ("BINPERSID", "PERSID"):
        push(m.persistent(m.pop() if step == "BINPERSID" else arg))
    elif step == "POP":
        if m.marks and len(m.stack) == m.marks[-1]:
            m.marks.pop()
        else:
            m.pop()
    elif step == "POP_MARK":
        m.since_mark()
    elif step == "DUP":
        push(m.top())
    elif step not in ("PROTO", "FRAME"):
        raise m.wrong(f"the pickle has the opcode {step}, which is for objects with code; only tensors and plain values are read")
