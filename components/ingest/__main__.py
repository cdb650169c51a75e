"""`python -m components.ingest DATASET`: ingest with the JSON settings from stdin; `berth schema` calls it."""

import sys
from pathlib import Path

from components.ingest.settings import IngestSettings
from components.ingest.step import ingest_source


def main(dataset: str) -> None:
    ingest_source(IngestSettings.model_validate_json(sys.stdin.read()), dataset, Path(dataset) / "rejected")


if __name__ == "__main__":
    main(sys.argv[1])
