"""Builds the gallery anew: every certificate by its command, the table in README.md, and the lock file.

    python certificates/gallery/build.py [NAME...]

With names only those certificates are built; table and lock are always about all of them.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from attncert.api import Certificate
from attncert.cli import main
from attncert.demands import Lock
from attncert.gate import check_file
from attncert.reports import claim_text, one_line

FOLDER = Path(__file__).parent
COMMANDS = FOLDER / "commands.txt"
HEADING = """# Gallery

Small certificates of every kind: each was made by the command beside it, and is checked again whenever the project is
(`attncert check certificates/gallery --against certificates/gallery/lock.json`). A refuted claim is evidence too: its
certificate proves that the error is larger.

| certificate | verdict | claim | on | tokens | method | command |
|---|---|---|---|---|---|---|
"""


def commands() -> dict[str, str]:
    """The file that each command of commands.txt writes, and the command."""
    lines = [line for line in COMMANDS.read_text().splitlines() if line and not line.startswith("#")]
    pairs = [line.partition(": ") for line in lines]
    return {name.strip(): command.strip() for name, _, command in pairs}


def arguments(name: str, command: str) -> list[str]:
    """The words of a command, with the output that it writes, and what it reads, in this folder."""
    words = [str(FOLDER / word) if (FOLDER / word).is_file() else word for word in shlex.split(command)]
    return [*words, "--witness" if words[0] == "bound" else "-o", str(FOLDER / name), "--force"]


def row(name: str, command: str) -> str:
    """What a certificate says, as a line of the table."""
    outcome, certificate = check_file(FOLDER / name), Certificate.load(FOLDER / name)
    statement, notes = certificate.statement, certificate.notes
    target = "" if statement.target is None else f"`{one_line(statement.target.source, 60)}`: "
    domain = " where ".join([str(statement.domain), *(condition.source for condition in statement.conditions)])
    cells = [
        f"[{name}]({name})",
        str(outcome["verdict"]),
        target + claim_text(statement.claim),
        f"`{domain}`",
        f"{statement.attention.tokens:,}",
        str(notes.get("method", "")),
        f"`attncert {command}`",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table() -> str:
    """The text of README.md."""
    return HEADING + "".join(row(name, command) + "\n" for name, command in commands().items())


def build(names: list[str]) -> int:
    """Make the certificates of these names, or all, then the table and the lock."""
    for name, command in commands().items():
        if not names or name in names:
            print(f"{name}: attncert {command}", flush=True)
            code = main(arguments(name, command))
            if code not in (0, 1) or not (FOLDER / name).exists():
                return code or 1
    (FOLDER / "README.md").write_text(table())
    Lock.of(FOLDER / "lock.json", [check_file(FOLDER / name) for name in commands()]).save()
    return 0


if __name__ == "__main__":
    sys.exit(build(sys.argv[1:]))
