"""The compiled pipeline.yaml, whole and parsed, and a task of it by name."""

import pytest

from pipeline.dags import compiler


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("ir") / "pipeline.yaml"
    compiler.write_yaml(path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ir(compiled) -> dict:
    return next(document for document in compiler.read(compiled) if "root" in document)


def task(ir: dict, name: str) -> dict:
    for component in [ir["root"], *ir["components"].values()]:
        for key, found in component.get("dag", {}).get("tasks", {}).items():
            if key == name:
                return found
    raise KeyError(name)
