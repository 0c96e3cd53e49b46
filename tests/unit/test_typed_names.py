"""What is said of a name that somebody mistyped on the command line."""

import click
import pytest
from click.testing import CliRunner

from reconciler.cli import cli
from reconciler.cli.types import VersionNumber


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("drfit", "There is no command `drfit`. Did you mean `drift`?"),
        ("zzz", "There is no command `zzz`. See `reconciler --help`."),
        ("plan --format jsn", "Did you mean `json`?"),
        ("schema Polcy", "Did you mean `policy`?"),
        ("access --check aply", "Did you mean `apply`?"),
        ("plan --report markdwn=a.md", "Did you mean `markdown`?"),
        ("promote churn four", "`four` is not a version; expected a number, such as 4."),
        ("check churn 0", "`0` is not a version; expected a number, such as 4."),
    ],
)
def test_the_nearest_one_is_named(line: str, said: str) -> None:
    result = CliRunner().invoke(cli, line.split())

    assert result.exit_code != 0
    assert said in " ".join(result.output.split())


@pytest.mark.parametrize("text", ["4", "v4", "V4", "04"])
def test_a_version_can_be_written_as_every_output_has_it(text: str) -> None:
    @click.command()
    @click.argument("version", type=VersionNumber())
    def told(version: int) -> None:
        click.echo(version + 1)

    assert CliRunner().invoke(told, [text]).output == "5\n"
