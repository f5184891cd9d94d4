"""Reading TOML, and what is said of a file that is none or holds what it should not."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pydantic

from ..errors import InputError
from .tables import reason_of, shown


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises
    ------
    InputError
        Not readable, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot be read ({reason_of(error)})", file=path) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"expected text in UTF-8, found the byte 0x{error.object[error.start]:02x}", file=path
        ) from None
    except (ValueError, RecursionError) as error:  # a number of too many digits is a plain ValueError
        raise InputError(f"not valid TOML ({reason_of(error)})", file=path) from None


def first_error(error: pydantic.ValidationError) -> tuple[str, str]:
    """Key and message of the first thing that is wrong."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    return shown(".".join(map(str, first["loc"]))), message[0].lower() + message[1:]
