"""GitHub's runner, as far as it looks for commands in what a step prints."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command, what it says of itself, and its message."""

    name: str
    properties: dict[str, str]
    data: str


KNOWN = {
    "error",
    "warning",
    "notice",
    "debug",
    "add-mask",
    "set-output",
    "set-env",
    "add-path",
    "group",
    "stop-commands",
}


def read(line: str, known: set[str] = KNOWN) -> Command | None:
    """A line as the runner takes it: ActionCommand.TryParseV2, and TryParse, which looks anywhere in the line."""
    text = line.lstrip()
    if text.startswith("::") and (end := text.find("::", 2)) >= 0:
        name, _, rest = text[2:end].partition(" ")
        if name in known:
            pairs = [pair.split("=", 1) for pair in rest.strip().split(",") if pair]
            properties = {pair[0]: _undone(pair[1], "%0D %0A %3A %2C %25") for pair in pairs if len(pair) == 2}
            return Command(name, properties, _undone(text[end + 2 :], "%0D %0A %25"))
    found = re.search(r"##\[([^ \]]*)[^\]]*\](.*)", line)
    return Command(found[1], {}, found[2]) if found and found[1] in known else None


def lines(output: str) -> list[str]:
    """What a step prints, line by line: they end at `\\n`, `\\r` and `\\r\\n`."""
    return [line for line in re.split(r"\r\n|\r|\n", output) if line]


def heeded(output: str) -> Iterator[Command]:
    """The commands that are carried out: none between `stop-commands` and the line that it names."""
    token = ""
    for line in lines(output):
        command = read(line, KNOWN | {token} - {""})
        if command is None or (token and command.name != token):
            continue
        if token:
            token = ""
        elif command.name == "stop-commands":
            token = command.data
        else:
            yield command
    assert not token, "commands are never heeded again"


def _undone(text: str, escapes: str) -> str:
    for escape in escapes.split():
        text = text.replace(escape, bytes.fromhex(escape[1:]).decode())
    return text
