"""Docstrings of the package in the form that the API reference reads.

Many of ours say `name : meaning`, several names one after another where they are short. NumPy's form wants the meaning
on lines of its own; what stands after the colon it takes for a type. Sections that are in NumPy's form already stay.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise
from typing import Any

from griffe import Attribute, Class, Extension, Function, Object

NAMES = r"[A-Za-z_]\w*(?:, [A-Za-z_]\w*)*"
ITEM = re.compile(rf"(?:^|(?<=[.;] )|(?<=\n))({NAMES}) : ")
HEADER = re.compile(r"^(Parameters|Attributes|Returns|Raises|Examples|Notes)\n-{3,}$", re.MULTILINE)
FULL = 100
"""A line of running text is at least this long before it goes on in the next one."""


class PlainNames(Extension):
    """Rewrites the docstring of every object before it is parsed."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Called by griffe when an object is complete."""
        if isinstance(obj, Class) and "__init__" in obj.members:
            made = obj.members["__init__"]
            for parameter in [p.name for p in getattr(made, "parameters", ()) if p.name.startswith("_")]:
                del made.parameters[parameter]
        if obj.docstring:
            obj.docstring.value = rewritten(obj.docstring.value, _names_of(obj), of_class=isinstance(obj, Class))


def _names_of(obj: Object) -> set[str]:
    """What a docstring may speak of: parameters, and attributes of a class."""
    names = {p.name for p in obj.parameters} if isinstance(obj, Class | Function) else set()
    return names | {name for name, member in obj.members.items() if isinstance(member, Attribute)}


def rewritten(text: str, names: Collection[str], *, of_class: bool) -> str:
    """A docstring in NumPy's form. names : of parameters and attributes."""
    introduction, *sections = HEADER.split(text)
    out = [_with_section(introduction, names, "Attributes" if of_class else "Parameters")]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        match title:
            case _ if _is_numpy(body):
                pass
            case "Parameters":
                body = _items(body, names)
            case "Attributes" | "Raises":
                body = _items(body, None)
            case "Returns":
                body = _returned(body)
        out.append(_section(title, body))
    return "\n\n".join(part for part in out if part)


def _is_numpy(body: str) -> bool:
    """Whether each name is on a line of its own, with its meaning indented below: a line that ends early."""
    heads = [(a, b) for a, b in pairwise(body.splitlines()) if a[:1].strip() and b.startswith("    ")]
    return bool(heads) and all(len(a) + len(b.split()[0]) < FULL for a, b in heads)


def _section(title: str, body: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{body.strip(chr(10))}"


def _with_section(text: str, names: Collection[str], title: str) -> str:
    """Text whose paragraphs of items, if there are such, are brought together in a section of their own."""
    kept, items = [], []
    for paragraph in text.strip().split("\n\n"):
        first = ITEM.match(paragraph)
        start = first or next((m for m in ITEM.finditer(paragraph) if _known(m[1], names)), None)
        if start and _known(start[1], names):
            kept.append(paragraph[: start.start()].strip())
            items.append(_items(paragraph[start.start() :], names))
        else:
            kept.append(paragraph)
    parts = [part for part in kept if part]
    return "\n\n".join([*parts, _section(title, "\n".join(items))] if items else parts)


def _known(listed: str, names: Collection[str] | None) -> bool:
    return names is None or set(listed.split(", ")) <= set(names)


def _items(body: str, names: Collection[str] | None) -> str:
    """Items with their meaning on lines of its own; names : what an item may be called, none: anything."""
    joined = re.sub(r"\n[ \t]+", " ", body.strip("\n"))
    starts = [m for m in ITEM.finditer(joined) if _known(m[1], names)]
    ends = [m.start() for m in starts[1:]] + [len(joined)]
    return "\n".join(
        f"{name}\n    {' '.join(joined[m.end() : end].split())}"
        for m, end in zip(starts, ends, strict=True)
        for name in m[1].split(", ")
    )


def _returned(body: str) -> str:
    """What comes back: items by name, or one text."""
    lines = body.strip("\n").splitlines()
    if ITEM.match(lines[0]):
        joined: list[str] = []
        for line in lines:
            if ITEM.match(line) or not joined:
                joined.append(line)
            else:
                joined[-1] += " " + line.strip()
        parts = [(m[1], line[m.end() :]) for line in joined if (m := ITEM.match(line))]
        return ":\n    " + " ".join(f"**{name}**: {text.rstrip()}" for name, text in parts)
    return ":\n    " + " ".join(line.strip() for line in lines)
