"""`python -m berth.pretraining FOLDER COUNT`: a text with [MASK] as JSON a line in, its likeliest words a line out.

An answer is a list for each [MASK], of [word, probability]. Runs in the environment of the train image; `berth fill`
is its caller.
"""

import contextlib
import json
import sys

from berth.pretraining.fill import MaskFiller


def main(folder: str, count: int) -> None:
    """Fill in the texts on stdin with the encoder in `folder`; see the module's docstring."""
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for answers, and a checkpoint is converted first
        filler = MaskFiller(folder)
    for line in sys.stdin:
        filled = filler.fill(json.loads(line), count)
        print(json.dumps([[[one.piece, one.probability] for one in place] for place in filled]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
