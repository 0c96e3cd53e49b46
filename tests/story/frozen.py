"""
Imported by the process that commands are forked from: all that they import, and what each makes once, in its own
process otherwise. What it holds in the end is shared, not copied by each.
"""

import gc
from importlib import import_module
from pkgutil import walk_packages

from pydantic import BaseModel

import reconciler

OF_LIBRARIES = (
    "mlflow.tracking._model_registry.client",
    "mlflow.tracking.request_header.registry",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "git",
    "rich.progress",
    "IPython",
    "netrc",
    "databricks.sdk",
    "click._textwrap",
    # What is run is asked for by its name here.
    "tests.story.command",
)

for module in OF_LIBRARIES:
    import_module(module)
for found in walk_packages(reconciler.__path__, "reconciler."):
    if not found.name.endswith(".__main__"):
        import_module(found.name)


def build(kind: type[BaseModel]) -> None:
    """What reads documents is built when it is first asked."""
    for document in kind.__subclasses__():
        if document.__module__.startswith("reconciler."):
            document.model_rebuild()
        build(document)


build(BaseModel)
# MLflow looks through all that is installed for what brings stores, once a process.
import_module("mlflow.tracking._model_registry.utils")._get_store_registry()
gc.collect()
gc.freeze()
