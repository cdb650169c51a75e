"""The HTML reports' common ground: one file that loads nothing and runs no script, and escapes what comes from data."""

from pathlib import Path
from typing import Any


def template(module: str, name: str) -> Any:
    """Return the Jinja template `name` in the folder of the file `module`; it can include `report.css`."""
    from jinja2 import Environment, FileSystemLoader

    folders = FileSystemLoader([Path(module).parent, Path(__file__).parent])
    return Environment(loader=folders, autoescape=True, trim_blocks=True).get_template(name)
