"""`reconciler doctor`."""

import json
from dataclasses import asdict
from typing import Any

import click

from reconciler import console
from reconciler.cli.group import cli
from reconciler.cli.options import format_option, registry_options
from reconciler.errors import ExitCode
from reconciler.render.formats import LIST, Format, ListFormat
from reconciler.render.layout import cells, flowed, padded

STYLES = {"fine": "add", "look": "warn", "broken": "error"}


@cli.command()
@registry_options
@format_option(LIST)
def doctor(form: ListFormat, **settings: Any) -> int:
    """
    Look at all that a plan and an apply need: the repository, its remote, the lock, the manifests, the policy, the
    registry, the files that `init` wrote, and the key for signed records. Says how to mend what is wrong. Writes
    nothing; exits with 1 if something is broken.
    """
    from reconciler import project

    findings = project.examine(
        registry=settings["registry_uri"],
        manifests=settings["manifests"],
        repository=settings["repository"],
        remote=settings["remote"],
        named=settings["named"],
    )
    if form is Format.JSON:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False))
    else:
        widest = max(cells(finding.about) for finding in findings)
        for finding in findings:
            head = ((STYLES[finding.health], f"{finding.health:<8}"), ("name", f"{padded(finding.about, widest)}  "))
            console.show(flowed(head, (("", finding.sentence),), console.width()))
            if finding.remedy:
                console.show(flowed((("", " " * (10 + widest)),), (("faint", finding.remedy),), console.width()))
    return ExitCode.ERROR if any(finding.health == "broken" for finding in findings) else ExitCode.OK
