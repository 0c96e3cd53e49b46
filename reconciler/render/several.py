"""Results about several registries as one, in any format: what was written of each is put together."""

import csv
import hashlib
import io
import json
import xml.etree.ElementTree as ET  # of what we wrote ourselves, and nothing else
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from reconciler.core.text import clean
from reconciler.render.annotations import failure_annotation
from reconciler.render.formats import Format
from reconciler.render.marker import Marker, read_marker, read_markers
from reconciler.render.spans import code, prose

KEY = hashlib.sha256(b"several registries").hexdigest()[:12]
"""The key of the comment about all of them."""
FORMAT_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class Part:
    """
    What is shown of one registry, by its name in the policy, in one format; in Markdown with its own marker, if it has
    one. Where there is nothing to show: why, in a sentence and in a word that scripts may rely on.
    """

    registry: str
    text: str = ""
    failed: str = ""
    reason: str = ""


def together(form: Format, parts: Sequence[Part]) -> str:
    """What is written of each registry, as one text in the same format."""
    texts = [part.text for part in parts if part.text]
    match form:
        case Format.JSON:
            return several_document(parts)
        case Format.MARKDOWN:
            return several_markdown(parts)
        case Format.HTML:
            return _page(parts)
        case Format.CODE_QUALITY:
            return json.dumps(list(chain.from_iterable(map(json.loads, texts))), indent=2) + "\n"
        case Format.GITLAB_TERRAFORM:
            counts: list[dict[str, int]] = [json.loads(text) for text in texts]
            return json.dumps({k: sum(one[k] for one in counts) for k in ("create", "update", "delete")}) + "\n"
        case Format.SARIF:
            runs = chain.from_iterable(json.loads(text)["runs"] for text in texts)
            return json.dumps({**json.loads(texts[0]), "runs": list(runs)}, indent=2) + "\n" if texts else ""
        case Format.JUNIT:
            return _suites(parts)
        case Format.CSV:
            return _table(parts)
        case Format.PROMETHEUS:
            return _samples(parts)
        case Format.GITHUB:
            return "".join(part.text or failure_annotation(part.registry, part.failed) for part in parts)
        case Format.TEXT:
            return "".join(texts)


def several_markdown(parts: Sequence[Part]) -> str:
    """One text in Markdown. It begins with a marker of all, and those of the parts, for a later run to read."""
    markers = [marker for part in parts if (marker := read_marker(part.text)) is not None]
    lines = [] if not markers else [str(_whole(markers)), *map(str, markers)]
    for part in parts:
        marker = read_marker(part.text)
        body = part.text if marker is None else part.text.removeprefix(str(marker)).lstrip("\n")
        lines += ["", f"## {code(part.registry)}", "", body.rstrip("\n") or f"**Failed.** {prose(part.failed)}"]
    return "\n".join(lines).lstrip("\n") + "\n"


def _whole(markers: Sequence[Marker]) -> Marker:
    digest = hashlib.sha256("\n".join(f"{marker.key} {marker.digest}" for marker in markers).encode()).hexdigest()
    return Marker(KEY, digest, markers[0].commit)


def part_of(body: str, key: str) -> str | None:
    """The marker of one part of a comment about all, by its key."""
    return next((str(marker) for marker in read_markers(body)[1:] if marker.key == key), None)


def several_document(parts: Iterable[Part]) -> str:
    """One JSON document: that of each registry, by its name; the `error` that there is in its place."""
    documents = {
        part.registry: json.loads(part.text)
        if part.text
        else {"error": {"reason": part.reason, "message": part.failed}}
        for part in parts
    }
    document = {"format_version": FORMAT_VERSION, "registries": documents}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _page(parts: Sequence[Part]) -> str:
    from reconciler.render.html import several_page

    return several_page([(part.registry, part.text, part.failed) for part in parts])


def _suites(parts: Iterable[Part]) -> str:
    """All suites, each with the name of its registry before its own; one that failed is a case that did."""
    root = ET.Element("testsuites", name="reconciler")
    for part in parts:
        for suite in ET.fromstring(part.text) if part.text else ():  # noqa: S314  # we wrote it
            suite.set("name", f"{part.registry}: {suite.get('name')}")
            root.append(suite)
        if not part.text:
            suite = ET.SubElement(
                root, "testsuite", name=part.registry, failures="0", errors="1", skipped="0", tests="1"
            )
            case = ET.SubElement(suite, "testcase", classname=part.registry, name="plan")
            ET.SubElement(case, "error", message=clean(part.failed))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _table(parts: Iterable[Part]) -> str:
    """One table, whose first column is the registry."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for number, part in enumerate(part for part in parts if part.text):
        head, *rows = csv.reader(io.StringIO(part.text))
        if number == 0:
            writer.writerow(["registry", *head])
        writer.writerows([part.registry, *row] for row in rows)
    return out.getvalue()


def _samples(parts: Iterable[Part]) -> str:
    """One file for Prometheus: the samples of a family one below the other, each with its registry as a label."""
    families: dict[str, list[str]] = {}
    for part in parts:
        head = ""
        for line in part.text.splitlines():
            if line.startswith("#"):
                head = f"{head}{line}\n" if line.startswith("# TYPE") else f"{line}\n"
                continue
            name, brace, rest = line.partition("{")
            if not brace:
                name, _, rest = line.partition(" ")
            labels = f'registry="{part.registry}"' + (f",{rest}" if brace else f"}} {rest}")
            families.setdefault(head, []).append(f"{name}{{{labels}\n")
    return "".join(head + "".join(samples) for head, samples in families.items())
