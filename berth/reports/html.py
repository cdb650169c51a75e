"""The HTML reports' common ground: one file that loads nothing and runs no script, and escapes what comes from data."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template


def template(module: str, name: str) -> "Template":
    """Return the Jinja template `name` in the folder of the file `module`; it can include `report.css`.

    Example:
        >>> page = template(__file__, "report.html.j2").render(title="sms-spam")
    """
    from jinja2 import Environment, FileSystemLoader

    folders = FileSystemLoader([Path(module).parent, Path(__file__).parent])
    return Environment(loader=folders, autoescape=True, trim_blocks=True).get_template(name)
