"""
A server on the loopback interface that answers as Unity Catalog's model registry does, in the shapes that MLflow's own
client reads and writes (its protocol buffers `databricks_uc_registry`): searches take no order and one name, and show
neither tags nor aliases; the key of a tag has none of `. , - = / :`, and its value at most 1,000 characters.
"""

import json
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "dapi-NeverToBeSeen"
PREFIX = "/api/2.0/mlflow/unity-catalog/"

Row = dict[str, Any]


class RefusedError(Exception):
    """An answer that is an error, by its code."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Model:
    """A registered model: what is told of it, its tags and aliases, its versions and their tags."""

    row: Row
    tags: dict[str, str] = field(default_factory=dict[str, str])
    aliases: dict[str, str] = field(default_factory=dict[str, str])
    versions: dict[str, Row] = field(default_factory=dict[str, Row])
    version_tags: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])


@dataclass
class Catalog:
    """The models by their three-part names, and the requests that were made."""

    url: str = ""
    models: dict[str, Model] = field(default_factory=dict[str, Model])
    requests: list[str] = field(default_factory=list[str])
    fails: int = 0
    lock: Lock = field(default_factory=Lock)

    def register(self, name: str, versions: int) -> None:
        """A model with so many versions, as somebody registers them beside us."""
        rows = {
            str(number): {
                "name": name,
                "version": str(number),
                "creation_timestamp": 1_700_000_000_000 + number,
                "last_updated_timestamp": 1_700_000_000_000 + number,
                "source": f"dbfs:/models/{name}/{number}",
                "run_id": f"{number:032x}",
                "status": "READY",
            }
            for number in range(1, versions + 1)
        }
        self.models[name] = Model({"name": name, "creation_timestamp": 1_700_000_000_000}, versions=rows)

    def answer(self, method: str, path: str, asked: Row) -> Row:
        with self.lock:
            self.requests.append(f"{method} {path}")
            if self.fails:
                self.fails -= 1
                raise RefusedError("TEMPORARILY_UNAVAILABLE", "Try again.", 503)
            handler = getattr(self, f"{method.lower()}_{re.sub('[^a-z]', '_', path)}", None)
            if handler is None:
                raise RefusedError("ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'", 404)
            return handler(**asked)

    def _model(self, name: str) -> Model:
        if len(name.split(".")) != 3:
            raise RefusedError("INVALID_PARAMETER_VALUE", f"{name} is not a three-part name.")
        if name not in self.models:
            raise RefusedError("RESOURCE_DOES_NOT_EXIST", f"Routine or Model '{name}' does not exist.", 404)
        return self.models[name]

    def _version(self, name: str, version: str) -> Row:
        model = self._model(name)
        if version not in model.versions:
            raise RefusedError("RESOURCE_DOES_NOT_EXIST", f"Model version {version} of {name} does not exist.", 404)
        return model.versions[version]

    def _whole(self, name: str, version: str) -> Row:
        tags = self.models[name].version_tags.get(version, {})
        aliases = [alias for alias, number in self.models[name].aliases.items() if number == version]
        shown = {"tags": pairs(tags), "aliases": [{"alias": alias} for alias in aliases]}
        return {"model_version": {**self._version(name, version), **shown}}

    def get_registered_models_get(self, name: str) -> Row:
        model = self._model(name)
        aliases = [{"alias": alias, "version": number} for alias, number in model.aliases.items()]
        return {"registered_model": {**model.row, "tags": pairs(model.tags), "aliases": aliases}}

    def get_registered_models_search(self, max_results: str = "", page_token: str = "") -> Row:
        names = sorted(self.models)
        start = int(page_token or 0)
        more = {"next_page_token": str(start + 2)} if start + 2 < len(names) else {}
        return {"registered_models": [self.models[name].row for name in names[start : start + 2]], **more}

    def post_registered_models_create(self, name: str, **_more: Any) -> Row:
        if name in self.models:
            raise RefusedError("RESOURCE_ALREADY_EXISTS", f"{name} exists already.")
        if len(name.split(".")) != 3:
            raise RefusedError("INVALID_PARAMETER_VALUE", f"{name} is not a three-part name.")
        self.register(name, 0)
        return {"registered_model": self.models[name].row}

    def patch_registered_models_update(self, name: str, description: str | None = None, new_name: str = "") -> Row:
        model = self._model(name)
        if description is not None:
            model.row["description"] = description
        if new_name:
            self.models[new_name] = self.models.pop(name)
            for row in (model.row, *model.versions.values()):
                row["name"] = new_name
        return {"registered_model": model.row}

    def get_model_versions_get(self, name: str, version: str) -> Row:
        self._version(name, version)
        return self._whole(name, version)

    def get_model_versions_search(self, filter: str = "", max_results: str = "", page_token: str = "") -> Row:  # noqa: A002
        found = re.fullmatch(r"name\s*=\s*'([^']+)'", filter)
        if found is None:
            raise RefusedError("INVALID_PARAMETER_VALUE", f"Unsupported filter query: {filter}")
        return {"model_versions": [*reversed(self._model(found[1]).versions.values())]}

    def patch_model_versions_update(self, name: str, version: str, description: str = "") -> Row:
        self._version(name, version)["description"] = description
        return self._whole(name, version)

    def post_registered_models_alias(self, name: str, alias: str, version: str) -> Row:
        self._version(name, version)
        self._model(name).aliases[alias] = version
        return {}

    def delete_registered_models_alias(self, name: str, alias: str) -> Row:
        if self._model(name).aliases.pop(alias, None) is None:
            raise RefusedError("RESOURCE_DOES_NOT_EXIST", f"Alias {alias} of {name} does not exist.", 404)
        return {}

    def post_registered_models_set_tag(self, name: str, key: str, value: str) -> Row:
        self._model(name).tags[_key(key)] = _value(value)
        return {}

    def delete_registered_models_delete_tag(self, name: str, key: str) -> Row:
        self._model(name).tags.pop(_key(key), None)
        return {}

    def post_model_versions_set_tag(self, name: str, version: str, key: str, value: str) -> Row:
        self._version(name, version)
        self._model(name).version_tags.setdefault(version, {})[_key(key)] = _value(value)
        return {}

    def delete_model_versions_delete_tag(self, name: str, version: str, key: str) -> Row:
        self._version(name, version)
        self._model(name).version_tags.get(version, {}).pop(_key(key), None)
        return {}


def pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _key(key: str) -> str:
    if set(key) & set(".,-=/:") or len(key) > 255:
        reserved = "List(., ,, -, =, /, :)"
        raise RefusedError(
            "INVALID_PARAMETER_VALUE", f"Tag name {key} contains one or more of the reserved characters: {reserved}"
        )
    return key


def _value(value: str) -> str:
    if len(value) > 1000:
        raise RefusedError("INVALID_PARAMETER_VALUE", f"Tag value of {len(value)} characters is too long.")
    return value


@contextmanager
def unity_catalog() -> Generator[Catalog]:
    """One that runs, until it is no longer needed."""
    catalog = Catalog()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            asked = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
            asked |= json.loads(self.rfile.read(length) or b"{}")
            status, told = 200, {}
            try:
                if parts.path == "/.well-known/databricks-config":
                    raise RefusedError("ENDPOINT_NOT_FOUND", "There is none.", 404)
                if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                    raise RefusedError("UNAUTHENTICATED", "No token.", 401)
                if not parts.path.startswith(PREFIX):
                    raise RefusedError("ENDPOINT_NOT_FOUND", f"No API found for '{parts.path}'", 404)
                told = catalog.answer(self.command, parts.path.removeprefix(PREFIX), asked)
            except RefusedError as refused:
                status, told = refused.status, {"error_code": refused.code, "message": refused.message}
            body = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815  # as http.server has it

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as http.server has it
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    try:
        catalog.url = f"http://127.0.0.1:{httpd.server_port}"
        yield catalog
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()
