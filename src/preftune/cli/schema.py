"""``preftune schema``: the JSON schema of a config, for editors."""

from __future__ import annotations

import json


def schema() -> None:
    """Print the JSON schema of the config file."""
    from ..config import json_schema
    from ..objectives import objective_schemas

    print(json.dumps(json_schema(objective_schemas()), indent=2, ensure_ascii=False))
