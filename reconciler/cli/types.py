"""What options and arguments take: a choice that knows what was meant, and a version as we write it."""

import re
from collections.abc import Iterable
from typing import Any, cast

import click


class Choice(click.Choice):  # pyright: ignore[reportMissingTypeArgument]  # generic from Click 8.2 on
    """One of some words. The nearest of them is named where it is another one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return cast(str, super().convert(value, param, ctx))
        except click.BadParameter as error:
            from reconciler.core.text import did_you_mean

            known = [str(choice) for choice in cast("Iterable[object]", self.choices)]
            self.fail(f"{error.message} {did_you_mean(str(value), known, '')}".rstrip(), param, ctx)


class VersionNumber(click.ParamType):  # pyright: ignore[reportMissingTypeArgument]  # generic from Click 8.3 on
    """The number of a version, `4`, or `v4` as every output has it."""

    name = "version"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = re.fullmatch(r"[vV]?0*([1-9][0-9]{0,17})", str(value).strip(), re.ASCII)
        if found is None:
            from reconciler.core.text import plain

            self.fail(f"`{plain(str(value), 80)}` is not a version; expected a number, such as 4.", param, ctx)
        return int(found[1])
