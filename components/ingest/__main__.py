"""`python -m components.ingest DATASET`: ingest what the JSON settings on stdin say; `berth schema` is its caller."""

import sys
from pathlib import Path

from components.ingest.settings import IngestSettings
from components.ingest.step import ingest_source


def main(dataset: str) -> None:
    ingest_source(IngestSettings.model_validate_json(sys.stdin.read()), dataset, Path(dataset) / "rejected")


if __name__ == "__main__":
    main(sys.argv[1])
