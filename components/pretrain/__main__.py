"""`python -m components.pretrain CORPUS VOCABULARY`: a worker next to the pretrain step, the chief of several machines.

TF_CONFIG says which worker it is. The JSON on stdin has the pretrain step's parameters by name, with the values that
the step has. The worker trains on the same texts in the same order, and writes nothing.
"""

import json
import sys
from typing import Any

from berth.errors import BerthError
from berth.pretraining.settings import NewEncoder, Pretraining
from berth.training.worker import ends_in_one_line
from components.pretrain.step import pretrain_encoder

_NEEDED = ("encoder", "new_encoder", "preprocessor", "pretraining", "require_gpu")


def main(corpus: str, vocabulary: str, parameters: dict[str, Any]) -> None:
    """Train together with the chief on `corpus`.

    Raises:
        BerthError: a parameter is missing.
    """
    if missing := [name for name in _NEEDED if name not in parameters]:
        raise BerthError(f"a worker needs {', '.join(missing)} on stdin, with the pretrain step's values. Add them.")
    shape = parameters["new_encoder"]
    # The paths are the chief's to write to.
    pretrain_encoder(
        corpus,
        vocabulary,
        "",
        "",
        encoder=parameters["encoder"],
        new_encoder=NewEncoder.model_validate(shape) if shape else None,
        preprocessor=parameters["preprocessor"],
        settings=Pretraining.model_validate(parameters["pretraining"]),
        require_gpu=parameters["require_gpu"],
    )


if __name__ == "__main__":
    with ends_in_one_line():
        main(sys.argv[1], sys.argv[2], json.load(sys.stdin))
