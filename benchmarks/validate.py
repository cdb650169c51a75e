"""Statistics compared with TFDV's own function for CSV: wall time and peak memory, each in a process of its own.

    .venv/validate/bin/python -m benchmarks.validate [ROWS ...]      (default: 100000 1000000)

TFDV reads a CSV of a text and a label through Apache Beam's in-process runner; Berth reads the same rows as ingest
leaves them, in Parquet shards. The second Berth row adds the derived features of a sample of 5,000 texts, as validate
does; the third those of every text. Imports are not counted. The texts are real messages, with a number added.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

_ROOT = Path(__file__).parents[1]
_MESSAGES = _ROOT / "examples/sms-spam/sms_spam_collection.tsv"
_SHARD = 100_000


def make(folder: Path, rows: int) -> None:
    """Write `rows` rows as a CSV and as a dataset whose train split has all of them."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    from berth.data.dataset import Manifest

    lines = [line.split("\t", 1) for line in _MESSAGES.read_text(encoding="utf-8").splitlines()]
    labels, texts = zip(*(lines[number % len(lines)] for number in range(rows)), strict=True)
    table = pd.DataFrame({"text": [f"{text} {number}" for number, text in enumerate(texts)], "label": labels})
    table.to_csv(folder / "rows.csv", index=False)
    (folder / "train").mkdir()
    for start in range(0, rows, _SHARD):
        shard = pa.Table.from_pandas(table[start : start + _SHARD], preserve_index=False)
        pq.write_table(shard, folder / "train" / f"part-{start // _SHARD:05}.parquet")
    counts = table["label"].value_counts().to_dict()
    nothing: dict[str, dict[str, int]] = {"validation": {}, "test": {}}
    Manifest(
        sources=[],
        rows_read=rows,
        duplicates=0,
        rejected={},
        labels=sorted(counts),
        rows={"train": rows, "validation": 0, "test": 0},
        label_counts={"train": counts} | nothing,
        fingerprint="",
    ).write(folder)


_BERTH = """
from berth.settings import Checks
from berth.statistics.text_features import TextFeatures
from berth.statistics.tfdv import in_memory
from berth.encoders.wordpiece import find_vocabulary
import tensorflow_data_validation
start = time.perf_counter()
features = TextFeatures(find_vocabulary("minilm", ""), 128, Checks(), False) if {features} else None
statistics, _ = in_memory({folder!r}, "train", features, {sample})
"""
TASKS = {
    "TFDV generate_statistics_from_csv": """
import tensorflow_data_validation as tfdv
start = time.perf_counter()
statistics = tfdv.generate_statistics_from_csv({folder!r} + "/rows.csv")
""",
    "Berth, the same statistics": _BERTH.replace("{features}", "False").replace("{sample}", "0"),
    "Berth, and tokens of a sample": _BERTH.replace("{features}", "True").replace("{sample}", "5000"),
    "Berth, and tokens of every text": _BERTH.replace("{features}", "True").replace("{sample}", "0"),
}
_END = """
seconds = time.perf_counter() - start
(found,) = statistics.datasets
both = [resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN]
peak = sum(resource.getrusage(who).ru_maxrss for who in both)
print(json.dumps([seconds, peak / 2**20, found.num_examples]))
"""


def measure(code: str, folder: Path, rows: int) -> tuple[float, float]:
    """Run `code` in a process of its own; return the seconds it took and its peak memory in GB, children included."""
    program = "import json, resource, time\nimport components.validate\n" + code.replace(
        "{folder!r}", repr(str(folder))
    )
    done = subprocess.run(
        [sys.executable, "-c", program + _END], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    seconds, memory, counted = json.loads(done.stdout.splitlines()[-1])
    assert counted == rows
    return seconds, memory


def main(sizes: list[int]) -> None:
    table = Table("rows", "by", "seconds", "rows/s", "peak memory", "times TFDV from CSV", box=None)
    for rows in sizes:
        with tempfile.TemporaryDirectory(prefix="berth-bench-") as folder:
            make(Path(folder), rows)
            first = None
            for name, code in TASKS.items():
                seconds, memory = measure(code, Path(folder), rows)
                first = first or seconds
                speed = f"{rows / seconds:,.0f}"
                table.add_row(f"{rows:,}", name, f"{seconds:.2f}", speed, f"{memory:.2f} GB", f"{first / seconds:.1f}")
                print(f"{rows:,} rows by {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
    Console(width=110).print(table)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [100_000, 1_000_000])
