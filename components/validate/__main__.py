"""`python -m components.validate`: the part of `berth schema` that uses TFDV, in the validate image's environment.

infer DATASET   prints the schema of the dataset's train split
diff OLD NEW    prints what changed from one schema file to the other, one line per change
"""

import sys
from pathlib import Path


def main(command: str, *paths: str) -> None:
    from google.protobuf import text_format

    from berth.statistics import schema
    from berth.statistics.tfdv import in_memory

    if command == "infer":
        statistics, _ = in_memory(paths[0], "train", None, 0)
        print(text_format.MessageToString(schema.infer(statistics)), end="")
    else:
        old, new = (schema.parse(Path(path).read_text(encoding="utf-8")) for path in paths)
        print("\n".join(schema.explain_difference(old, new)))


if __name__ == "__main__":
    main(*sys.argv[1:])
