"""RWKV's tokenizer: at each place the longest token that the text's bytes begin with.  https://github.com/BlinkDL/RWKV-LM"""

from __future__ import annotations

from typing import Any, Iterable, Mapping, NamedTuple, Sequence

__all__ = ["Greedy"]


class _Encoded(NamedTuple):
    ids: list[int]


class Greedy:
    """A tokenizer over bytes with the calls of the library ``tokenizers`` that ``Tokenizer`` makes.

    ``tokens`` are bytes by id; ``special`` are the control tokens, found in a text before all others if ``parsed``.
    """

    def __init__(self, tokens: Sequence[bytes], special: Mapping[str, int], parsed: bool = True) -> None:
        self.tokens, self.special, self.parsed, self.model = list(tokens), dict(special), parsed, self
        self._ids: dict[bytes, int] = {}
        self._longest = [0] * 256
        for i, token in enumerate(self.tokens):
            if token and i not in self.special.values():
                self._ids.setdefault(token, i)
                self._longest[token[0]] = max(self._longest[token[0]], len(token))
        self._names = {i: name for name, i in self.special.items()}

    def get_vocab_size(self, with_added_tokens: bool = True) -> int:
        return len(self.tokens)

    def token_to_id(self, token: str) -> int | None:
        found = self.special.get(token)
        return found if found is not None else self._ids.get(token.encode("utf-8", "surrogateescape"))

    def id_to_token(self, i: int) -> str | None:
        if not 0 <= i < len(self.tokens):
            return None
        return self._names.get(i) or self.tokens[i].decode("utf-8", "surrogateescape")

    def plain(self) -> Greedy:
        """The same, but control tokens written out in a text are text."""
        return Greedy(self.tokens, self.special, False)

    def encode(self, text: str, add_special_tokens: bool = False) -> _Encoded:
        raw, at, found = text.encode("utf-8", "surrogatepass"), 0, []
        marks = [(name.encode("utf-8"), i) for name, i in self.special.items() if self.parsed]
        while at < len(raw):
            mark = next(((m, i) for m, i in marks if raw.startswith(m, at)), None)
            if mark is not None:
                found.append(mark[1])
                at += len(mark[0])
                continue
            for length in range(min(self._longest[raw[at]], len(raw) - at), 0, -1):
                i = self._ids.get(raw[at : at + length])
                if i is not None:
                    found.append(i)
                    at += length
                    break
            else:
                at += 1  # a byte that no token begins with, which RWKV's vocabularies do not leave
        return _Encoded(found)

    def encode_batch(self, texts: Iterable[str], add_special_tokens: bool = False) -> list[_Encoded]:
        return [self.encode(t) for t in texts]

    def decode(self, ids: Iterable[int], skip_special_tokens: bool = True) -> str:
        parts: list[Any] = []
        for i in ids:
            if i in self._names:
                parts.append(b"" if skip_special_tokens else self._names[i].encode("utf-8"))
            elif 0 <= i < len(self.tokens):
                parts.append(self.tokens[i])
        return b"".join(parts).decode("utf-8", "replace")
