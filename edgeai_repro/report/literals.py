"""Values as Python source: text from a claims file stands in a script only as a literal. No torch."""

from __future__ import annotations

WIDTH = 115  # columns; longer lists are wrapped


def literal(value: object) -> str:
    """Return a value as Python source, a list on several lines if it is long."""
    match value:
        case str():
            return repr(value) if {*value} & {*"'\""} else f'"{repr(value)[1:-1]}"'
        case list():
            return lines([literal(entry) for entry in value], "[]")
        case tuple():
            return f"({', '.join(map(literal, value))})"
        case dict():
            return lines([f"{literal(key)}: {literal(entry)}" for key, entry in value.items()], "{}")
    return repr(value)


def lines(entries: list[str], brackets: str, width: int = WIDTH) -> str:
    """Return the literals of entries in brackets, wrapped between two entries and never within one."""
    written = [brackets[0]]
    for number, entry in enumerate(entries):
        part = f"{entry}, " if number < len(entries) - 1 else f"{entry}{brackets[1]}"
        if len(written[-1]) + len(part) > width and written[-1].strip() != brackets[0]:
            written.append(8 * " ")
        written[-1] += part
    return "\n".join(line.rstrip() for line in written) if entries else brackets
