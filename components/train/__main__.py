"""`python -m components.train DATASET`: a worker next to the train step, where that is the chief of several machines.

TF_CONFIG says which worker it is. The JSON on stdin has the train step's parameters by name, with the values that the
step has; of what it is not about (checkpoints, say) nothing is read. The worker trains on the same data in the same
order, and writes nothing.
"""

import dataclasses
import json
import sys
from typing import Any

from berth.errors import BerthError
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.worker import ends_in_one_line
from components.train.step import train_model

_OTHERS = ("encoder", "preprocessor", "sequence_length", "pooling", "long_texts", "threshold_metric", "require_gpu")


def main(dataset: str, parameters: dict[str, Any]) -> None:
    """Train together with the chief on `dataset`.

    Raises:
        BerthError: a parameter is missing.
    """
    recipe = [field.name for field in dataclasses.fields(Recipe)]
    if missing := [name for name in (*recipe, *_OTHERS) if name not in parameters]:
        raise BerthError(f"a worker needs {', '.join(missing)} on stdin, with the train step's values. Add them.")
    chosen = {name: parameters[name] for name in recipe} | {"training": Training(**parameters["training"])}
    others = {name: parameters[name] for name in _OTHERS}
    # The paths are the chief's to write to.
    train_model(dataset, "", "", recipe=Recipe(**chosen), log_metrics=lambda *_: None, **others)


if __name__ == "__main__":
    with ends_in_one_line():
        main(sys.argv[1], json.load(sys.stdin))
