"""The exception that means "the user can mend this", and the warning that means "is this what you meant?"."""

from __future__ import annotations

from pathlib import Path


class InputError(ValueError):
    """Bad input: says the file, row and column, and what was expected, in one line.

    The command line prints it without a traceback and exits with code 2.

    Parameters
    ----------
    message : str
        What is wrong and what was expected.
    file : str or Path, optional
        The file at fault, if any.
    row : int, optional
        Its row, counted as a spreadsheet does (the header is row 1).
    column : str, optional
        The column's name in the file.
    """

    def __init__(
        self, message: str, *, file: str | Path | None = None, row: int | None = None, column: str | None = None
    ):
        self.message, self.file, self.row, self.column = message, file, row, column
        place = [
            str(file) if file is not None else "",
            f"row {row}" if row is not None else "",
            f"column {column}" if column is not None else "",
        ]
        where = ", ".join(part for part in place if part)
        super().__init__(f"{where}: {message}" if where else message)


class InputWarning(UserWarning):
    """Input that is taken as it stands, though it looks like something else: says what, and what to do."""
