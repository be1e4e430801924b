"""params.yaml changed as an editor would change it: comments, order and style stay."""

from collections.abc import Mapping
from pathlib import Path as File
from typing import Any

from ruamel.yaml import YAML

from stages import params, runtime
from stages.check.params import Params

Path = tuple[str, ...]
"""Names that lead to a value, from the top: ``("recipes", "full.2", "lr")``."""


def edit(changes: Mapping[Path, Any], file: File = params.PATH) -> None:
    """Set values, all of them or none.

    Raises
    ------
    UserError
        If the file would not be sound then.
    """
    yaml = YAML()
    yaml.width = 120
    content = yaml.load(file)
    for path, value in changes.items():
        into = content
        for name in path[:-1]:
            into = into.setdefault(name, {})
        _set(into, path[-1], value)
    with runtime.atomic_file(file) as beside:
        yaml.dump(content, beside)
        params.validate(params.load(beside), Params, str(params.PATH))


def _set(mapping: Any, name: str, value: Any) -> None:
    if isinstance(value, list) and isinstance(mapping.get(name), list):
        mapping[name][:] = value  # keeps the list's style, and the comment after it
    elif mapping.get(name) != value:
        mapping[name] = value
