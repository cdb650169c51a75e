"""The loader of configuration files: YAML whose plain values stay as they are written, and whose keys are unique.

YAML 1.1 makes `no`, `on` and `01` a boolean, a boolean and a number, so that a class `no` or a key `on` is lost. Here
the fields' types decide: pydantic makes numbers and booleans of texts. Only null, ~ and an empty value mean "no value".
"""

import yaml

from berth.errors import printable

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"
_TEXT = "tag:yaml.org,2002:str"


def parse(text: str) -> object:
    """Return the value of a YAML document: mappings, lists, texts and None.

    Raises:
        ValueError: it is not YAML, or a mapping has a key twice; the message begins with the line.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ValueError(f"{where}not valid YAML: {getattr(error, 'problem', None) or error}.") from None


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag in (_NULL, _MERGE)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Check the keys that are written in the mapping, before those of its merges (`<<`) are added."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"line {line}: a list or a mapping where a key is expected. Write a text.")
            if key.tag == _NULL:  # as a key, null is a text as any other, such as a label
                key.tag = _TEXT
            if key.value in lines:
                first = lines[key.value]
                raise ValueError(
                    f"line {line}: the key {printable(key.value)!r} is there already, in line {first}. Keep one."
                )
            lines[key.value] = line
        super().flatten_mapping(node)
