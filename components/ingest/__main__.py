"""`python -m components.ingest DATASET`: ingest with the JSON settings from stdin and print what is doubtful.

`berth schema` calls it.
"""

import sys
from pathlib import Path

from components.ingest.settings import IngestSettings
from components.ingest.step import ingest_source


def main(dataset: str) -> None:
    settings = IngestSettings.model_validate_json(sys.stdin.read())
    for note in ingest_source(settings, dataset, Path(dataset) / "rejected").notes:
        print(note)


if __name__ == "__main__":
    main(sys.argv[1])
