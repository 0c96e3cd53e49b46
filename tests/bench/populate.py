"""
Fill an MLflow database in bulk: `populate.py URI ROWS`, ROWS being a file with what `fleet.rows` makes. A process of
its own, because MLflow would otherwise be in the memory of the one that measures.
"""

import json
import sys
from pathlib import Path
from typing import Any


def main(uri: str, rows: Path) -> None:
    import sqlalchemy
    from mlflow.store.model_registry.dbmodels import models
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    store: Any = SqlAlchemyStore(uri)
    tables: dict[str, list[dict[str, Any]]] = json.loads(rows.read_text(encoding="utf-8"))
    with store.ManagedSessionMaker() as session:
        for table, values in tables.items():
            if values:
                session.execute(sqlalchemy.insert(getattr(models, table)), values)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
