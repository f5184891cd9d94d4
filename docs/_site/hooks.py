"""What MkDocs calls while it builds: parts of pages that are read from the package, so that they cannot lag behind it.

A page asks for one by a comment on a line of its own: `<!-- commands -->`, or with an argument,
`<!-- readme: Data -->`.
"""

from __future__ import annotations

import argparse
import ast
import base64
import html
import importlib
import inspect
import io
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args, get_origin
from unittest.mock import patch

from latex2mathml.converter import convert

ROOT = Path(__file__).parents[2]
MARKER = re.compile(r"^<!-- (\w[\w ]*?)(?:: (.+?))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by MkDocs with the text of each page."""

    def part(found: re.Match[str]) -> str:
        if found[1] == "figure":
            return figure(CODE.findall(markdown)[0], found[2])
        return PARTS[found[1]](*filter(None, [found[2]]))

    return MARKER.sub(part, markdown)


def on_page_content(content: str, **_: Any) -> str:
    """Called by MkDocs with the HTML of each page."""
    return EQUATION.sub(lambda found: equation(found[2], block=found[1] == "div"), content)


EQUATION = re.compile(r'<(div|span) class="arithmatex">\s*\\[(\[](.*?)\\[)\]]\s*</\1>', re.DOTALL)
"""LaTeX as `pymdownx.arithmatex` leaves it, in brackets on lines of its own, in parentheses within a line."""

OPERATORS = {"<mi>&#x0007E;</mi>": "<mo>∼</mo>", "<mi>&#x000B1;</mi>": "<mo>±</mo>"}
"""Signs that latex2mathml takes for names of variables, so that they would have no space around them."""

FUNCTION = re.compile(
    r"(<mi>(?:log|exp)</mi>|<msub><mi>log</mi><mrow><mn>10</mn></mrow></msub>)(?=<m(?:i|n|row|sub|sup)\b)"
)
"""A function before an argument without parentheses."""


def equation(latex: str, *, block: bool) -> str:
    """LaTeX as MathML, which browsers draw by themselves."""
    latex = html.unescape(latex).strip()
    found = convert(latex, display="block" if block else "inline")
    if "\\" in found or "&</" in found:
        raise ValueError(f"latex2mathml does not know all of {latex}")
    for wrong, right in OPERATORS.items():
        found = found.replace(wrong, right)
    found = FUNCTION.sub(r'\1<mspace width="0.167em" />', found)
    return f'<div class="equation">{found}</div>' if block else found


def readme(heading: str) -> str:
    """A section of README.md, without its heading; its links to pages lead to them from here too."""
    section = re.compile(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    (text,) = section.findall(include("README.md"))
    return text.strip()


def include(name: str) -> str:
    """A Markdown file of the repository; its links to pages lead to them from here too."""
    return (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")


def listing(name: str) -> str:
    """A file of the repository, as it is."""
    language = {".py": "python", ".cff": "yaml"}.get(Path(name).suffix, "text")
    return f"```{language}\n{include(name).rstrip()}\n```"


def tutorial() -> str:
    """`docs/tutorial.py` step by step: its comments as text, the code between them as it is."""
    source = include("docs/tutorial.py")
    introduction = ast.get_docstring(ast.parse(source)) or ""
    before, *steps = re.split(r"^# (?=\d+\. )", source.split('"""', 2)[2], flags=re.MULTILINE)
    parts = [introduction, f"```python\n{before.strip()}\n```"]
    for step in steps:
        comment, code = step.split("\n", 1)
        ((number, title, more),) = re.findall(r"^(\d+)\. (.+?)[.:](?: (.*))?$", comment)
        text = f"{more[0].upper()}{more[1:]}" if more else ""
        parts += [f"## {number}. {title}", text, f"```python\n{code.strip()}\n```"]
    return "\n\n".join(parts)


def notebook(name: str) -> str:
    """A notebook as it was run: its text, its code, and what the code showed."""
    parts = []
    for cell in json.loads(include(f"docs/notebooks/{name}.ipynb"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source.replace(".ipynb)", ".md)"))
        else:
            parts += [f"```python\n{source}\n```", *map(_shown, cell["outputs"])]
    return "\n\n".join(parts)


def _shown(output: dict[str, Any]) -> str:
    """What a cell of a notebook showed: a figure, a table, or text."""
    shown = {kind: "".join(lines) for kind, lines in output.get("data", {"text/plain": output.get("text")}).items()}
    if "image/png" in shown:
        return f"![Figure](data:image/png;base64,{''.join(shown['image/png'].split())})"
    if table := re.search(r"<table.*</table>", shown.get("text/html", ""), re.DOTALL):
        return re.sub(r' (?:border|class|style)="[^"]*"', "", table[0])  # as the site's own tables
    return f"```text\n{shown['text/plain'].rstrip()}\n```"


CODE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FIGURE = re.compile(r"^<!-- figure: (.+) -->$", re.MULTILINE)


def figure(code: str, alt: str, size: str = "") -> str:
    """What the code of a page draws, for those who cannot see it described by `alt`."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(_drawn(code)).decode()}){size}"


@cache
def _drawn(code: str) -> bytes:
    """The figure that code leaves behind, as PNG; the code runs anew on each build, and none of its files stay."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    picture = io.BytesIO()
    with TemporaryDirectory() as folder, patch.object(tempfile, "tempdir", folder):
        exec(compile(code, "<gallery>", "exec"), {})
        pyplot.gcf().savefig(picture, format="png", dpi=110)
        pyplot.close("all")
    return picture.getvalue()


def gallery() -> str:
    """The pages of the gallery in the order of the navigation: a small figure, the title and the first sentence."""
    rows = ["| figure | idea |", "|---|---|"]
    for name in re.findall(r"gallery/(?!index)(\w+\.md)", include("mkdocs.yml")):
        page = include(f"docs/gallery/{name}")
        (title,), (code,), (alt,) = (
            re.findall(r"^# (.+)$", page, re.MULTILINE),
            CODE.findall(page),
            FIGURE.findall(page),
        )
        first = re.split(r"(?<=\.)\s", page.split("\n\n")[1])[0].replace("\n", " ")
        rows.append(f"| [{figure(code, alt, '{ width=240 }')}]({name}) | **[{title}]({name})**<br>{first} |")
    return "\n".join(rows)


def commands() -> str:
    """Every command: usage, arguments, what it writes, example."""
    from bayes_rootc.cli import _parser

    with patch.dict(os.environ, {"COLUMNS": "100", "NO_COLOR": "1"}):
        parser = _parser()
        (choices,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        summaries = {action.dest: action.help or "" for action in choices._choices_actions}
        parts = ["| command | |", "|---|---|"]
        parts += [f"| [`{name}`](#{name}) | {_cell(summaries[name])} |" for name in choices.choices]
        for name, command in choices.choices.items():
            parts += ["", f"## `{name}` {{ #{name} }}", "", command.description or "", ""]
            parts += ["```text", command.format_usage().removeprefix("usage: ").rstrip(), "```", ""]
            for group in command._action_groups:
                actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS and a.dest != "help"]
                if actions:
                    parts += ["", f"*{(group.title or '').capitalize()}*", "", "| argument | meaning |", "|---|---|"]
                    parts += [f"| {_names(a)} | {_help(a)} |" for a in actions]
            if command.epilog:
                parts += ["", "```text", command.epilog.strip(), "```"]
    return "\n".join(parts)


def _names(action: argparse.Action) -> str:
    """How an argument is written on the command line."""
    values = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar or ""
    if not values and (action.choices or not action.option_strings):
        values = action.dest.upper()
    return f"`{' '.join(part for part in (*action.option_strings, values) if part)}`"


def _help(action: argparse.Action) -> str:
    text = _cell(action.help or "")
    if action.choices:
        text += f"{'; ' if text else ''}one of {', '.join(f'`{choice}`' for choice in action.choices)}"
    return text + (" (required)" if action.option_strings and action.required else "")


def settings() -> str:
    """Every field of `RunSettings`: name, values, default, and the docstring under it."""
    from bayes_rootc.settings import RunSettings

    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for field, meaning in _documented_fields(RunSettings):
        info = RunSettings.model_fields[field]
        limits = [
            f"{sign} {value:g}" for m in info.metadata for name, sign in LIMITS if _is(value := getattr(m, name, None))
        ]
        values = ", ".join([_values(info.annotation), *limits])
        rows.append(f"| `{field}` | {values} | `{_toml(info.default)}` | {_cell(meaning)} |")
    return "\n".join(rows)


LIMITS = (("ge", "≥"), ("gt", ">"), ("le", "≤"))
WORDS = {int: "whole number", float: "number", bool: "`true`, `false`", Path: "path", str: "text"}


def _is(value: Any) -> bool:
    return value is not None


def _values(kind: Any) -> str:
    """What a setting of a type may be, in words."""
    inner = [part for part in get_args(kind) if part is not type(None)]
    if get_origin(kind) is Literal:
        return ", ".join(f'`"{value}"`' for value in inner)
    if get_origin(kind) is tuple:
        return f"list of {_values(inner[0])}" if inner[-1] is Ellipsis else f"{len(inner)} {_values(inner[0])}s"
    if inner:  # `X | None`, which may be left out, or X with conditions
        return _values(inner[0])
    return WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def _toml(value: Any) -> str:
    """A default as one would write it in a settings file; none: that there is none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f"{value:g}" if isinstance(value, int | float) else f'"{value}"'


def _documented_fields(model: type) -> Iterator[tuple[str, str]]:
    """Name and docstring of each field of a class; a docstring is of all fields above it that have none."""
    (tree,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(tree, ast.ClassDef)
    waiting: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            waiting.append(node.target.id)
        elif waiting and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield from ((name, str(node.value.value)) for name in waiting)
            waiting = []
    yield from ((name, "") for name in waiting)


def tables() -> str:
    """Every table that has a schema: what it is, what has a row, which commands write it, and its columns."""
    from bayes_rootc.schemas import TABLES

    names: dict[int, list[str]] = {}
    for name, schema in TABLES.items():
        names.setdefault(id(schema), []).append(name)  # those of one form share a schema
    parts, sections = ["| table | what it is | written by |", "|---|---|---|"], []
    for alike in sorted(names.values()):
        schema = TABLES[alike[0]]
        listed = ", ".join(f"[`{name}`](#{alike[0]})" for name in alike)
        parts.append(f"| {listed} | {_cell(schema.title)} | `{schema.metadata['by']}` |")
        sections += ["", f"## {', '.join(f'`{name}`' for name in alike)} {{ #{alike[0]} }}", ""]
        sections += [f"{schema.title[0].upper()}{schema.title[1:]}. A row is {schema.description}.", ""]
        sections += ["| column | values | unit | meaning |", "|---|---|---|---|"]
        for name, column in schema.columns.items():
            unit, maybe = column.metadata["unit"], "" if column.required else " (not always there)"
            called = f"each `{name}`" if column.regex else f"`{name}`"
            cells = called, _values_of(column), unit or "", _cell(column.description) + maybe
            sections.append(f"| {' | '.join(cells)} |")
    return "\n".join(parts + sections)


def _values_of(column: Any) -> str:
    """What a column of a table may hold, in words."""
    limits = {what: value for check in column.checks for what, value in check.statistics.items()}
    if "allowed_values" in limits:
        return "text, one of a few" if len(limits["allowed_values"]) > FEW else ", ".join(limits["allowed_values"])
    word = {"float64": "number", "Int64": "whole number", "bool": "true or false"}.get(str(column.dtype), "text")
    signs = {"min_value": "≥", "max_value": "≤"}
    return ", ".join([word, *(f"{signs[what]} {value:g}" for what, value in limits.items())])


FEW = 4
"""Values of a column that are listed, at most."""


def priors(model: str) -> str:
    """The `PRIORS` of a model: parameter, prior, meaning."""
    rows = ["| parameter | prior | meaning |", "|---|---|---|"]
    for name, (numbers, *words) in importlib.import_module(f"bayes_rootc.models.{model}").PRIORS.items():
        family, _, meaning = "; ".join(words).partition("; ")
        rows.append(f"| `{name}` | {_prior(numbers, family)} | {_cell(meaning)} |")
    return "\n".join(rows)


def methods() -> str:
    """The paper's Methods: what they say, whether it is done so, and where."""
    from bayes_rootc.methods import read_statements

    rows = ["| about | the paper | here | where | note |", "|---|---|---|---|---|"]
    for statement in read_statements():
        says, where, note = _cell(statement.says), _codes(statement.where), _cell(statement.why)
        rows.append(f"| {statement.section} | {says} | {statement.status} | {where} | {note} |")
    return "\n".join(rows)


def paper_figures() -> str:
    """The paper's figures: what they show, what draws them, and which tables hold the same."""
    from bayes_rootc.methods import read_figures

    rows = ["| figure | it shows | here | where | note |", "|---|---|---|---|---|"]
    for figure in read_figures():
        where = _codes([*figure.where, *(f"{name}.csv" for name in figure.tables)])
        cells = figure.name, _cell(figure.shows), figure.status, where, _cell(figure.why)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def paper_numbers() -> str:
    """The numbers of the paper's text, and where a run has ours."""
    from bayes_rootc.methods import read_numbers

    rows = ["| place | the paper | value | here | where | note |", "|---|---|---|---|---|---|"]
    for number in read_numbers():
        where = _codes([*([number.cell] if number.cell else []), *number.where])
        value = f"{number.value} {number.unit.replace(' ', NBSP)}".strip()
        cells = number.place, _cell(number.says), value, number.status, where, _cell(number.why)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


NBSP = "\u00a0"
"""Keeps a unit on one line."""


def _codes(names: Iterable[str]) -> str:
    """Names as code, in a cell."""
    return ", ".join(f"`{_cell(name)}`" for name in names)


def _prior(numbers: Any, family: str) -> str:
    match family:
        case "log-normal":
            return f"log-normal, median {math.exp(numbers[0]):.3g}, sd of the logarithm {numbers[1]:g}"
        case "normal" if isinstance(numbers, tuple):
            return f"Normal({numbers[0]:g}, {numbers[1]:g})"
        case "normal":
            return f"Normal, sd {numbers:g}"
        case "half-normal":
            return f"half-normal, scale {numbers:g}"
    raise ValueError(f"unknown family of a prior: {family}")


def public_names() -> str:
    """Names that `bayes_rootc` itself offers, each with the first sentence of its docstring."""
    import bayes_rootc

    rows = ["| name | |", "|---|---|"]
    for name in sorted(bayes_rootc.__all__, key=str.lower):
        item = getattr(bayes_rootc, name)
        first = re.split(r"(?<=\.)\s|:\s*$|\n\n", inspect.getdoc(item) or "")[0]
        rows.append(f"| [`{name}`][{item.__module__}.{item.__qualname__}] | {_cell(first)} |")
    return "\n".join(rows)


def figures() -> str:
    """Functions of `report.figures` that draw a figure, and what."""
    from bayes_rootc.report import figures as module

    rows = ["| function | |", "|---|---|"]
    for name in sorted((n for n in vars(module) if n.startswith("figure_")), key=_by_number):
        rows.append(f"| `{name}` | {_cell((inspect.getdoc(getattr(module, name)) or '').split(chr(10) * 2)[0])} |")
    return "\n".join(rows)


def _by_number(name: str) -> tuple[bool, str]:
    """The paper's figures first."""
    return re.search(r"\d", name) is None, name


def _cell(text: str) -> str:
    """Text for a cell of a table."""
    return " ".join(text.replace("%%", "%").replace("|", "\\|").split())


BOX, GAP = (150, 44), (26, 46)
"""Width and height of a box of the picture, and what is between two of them, px."""


def structure() -> str:
    """A picture of the package's parts, each above those that it imports from; lines that follow from others are left
    out.
    """
    parts, imports = _imports()
    height = {name: 0 for name in parts}
    for _ in parts:  # a part stands above all that it imports from
        for above, below in imports:
            height[above] = max(height[above], height[below] + 1)
    rows = [sorted(n for n in parts if height[n] == h) for h in sorted(set(height.values()), reverse=True)]
    widest = max(map(len, rows))
    width, step = widest * (BOX[0] + GAP[0]), BOX[1] + GAP[1]
    place = {
        name: ((width - len(row) * (BOX[0] + GAP[0])) / 2 + i * (BOX[0] + GAP[0]) + GAP[0] / 2, y * step + 4)
        for y, row in enumerate(rows)
        for i, name in enumerate(row)
    }
    shapes = []
    for above, below in sorted(imports):
        if any((above, between) in imports and (between, below) in imports for between in parts):
            continue
        (x1, y1), (x2, y2) = place[above], place[below]
        ends = f'x1="{x1 + BOX[0] / 2:g}" y1="{y1 + BOX[1]:g}" x2="{x2 + BOX[0] / 2:g}" y2="{y2:g}"'
        shapes.append(f'<line {ends} stroke="currentColor" stroke-opacity="0.5"/>')
    for name, (x, y) in place.items():
        shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{BOX[0]}" height="{BOX[1]}" rx="6" fill="var(--md-default-bg-color)" '
            f'stroke="currentColor"/><text x="{x + BOX[0] / 2:g}" y="{y + 19:g}">{name}</text>'
            f'<text x="{x + BOX[0] / 2:g}" y="{y + 35:g}" opacity="0.6">{_modules(parts[name])}</text>'
        )
    size = f'viewBox="0 0 {width} {len(rows) * step - GAP[1] + 8}"'
    title = "<title>Parts of the package, each above those that it imports from</title>"
    style = 'font-size="13" text-anchor="middle" fill="currentColor" role="img" style="max-width: 24rem"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{title}{"".join(shapes)}</svg>'


def _modules(count: int) -> str:
    return "1 module" if count == 1 else f"{count} modules"


def _imports() -> tuple[dict[str, int], set[tuple[str, str]]]:
    """Number of modules of each part (a folder, or all modules beside the folders), and which imports from which when
    it is loaded.
    """
    package = ROOT / "bayes_rootc"
    parts: dict[str, int] = {}
    imports = set()
    for path in sorted(package.rglob("*.py")):
        where = path.relative_to(package).parts
        part = _part(where[0].removesuffix(".py") if len(where) == 1 else where[0], folder=len(where) > 1)
        parts[part] = parts.get(part, 0) + 1
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.ImportFrom) or node.level == 0:
                continue
            base = where[: len(where) - node.level]
            target = [*base, *(node.module.split(".") if node.module else [])]
            for name in [target[0]] if target else [alias.name for alias in node.names]:
                there = (package / name).is_dir()
                other = _part(name, folder=there)
                if other != part and (there or (package / f"{name}.py").is_file()):
                    imports.add((part, other))
    return parts, imports


def _part(name: str, *, folder: bool) -> str:
    """Part of a module beside the folders: what all share, what works on estimates, or what runs."""
    shared = "constants errors extras files schemas seeds progress cache crps draws".split()
    runs = "pipeline commands cli commit __init__ __main__".split()
    return name if folder else "shared" if name in shared else "run" if name in runs else name


PARTS: dict[str, Callable[..., str]] = {
    "structure": structure,
    "readme": readme,
    "include": include,
    "listing": listing,
    "tutorial": tutorial,
    "notebook": notebook,
    "gallery": gallery,
    "commands": commands,
    "settings": settings,
    "tables": tables,
    "priors": priors,
    "methods": methods,
    "paper figures": paper_figures,
    "paper numbers": paper_numbers,
    "public names": public_names,
    "figures": figures,
}
"""What a page may ask for."""
