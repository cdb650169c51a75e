"""Ingest compared with the obvious pandas script: wall time, rows/s and peak memory, each in a process of its own.

    .venv/core/bin/python -m benchmarks.ingest [ROWS ...]      (default: 100000 1000000 10000000)
    .venv/core/bin/python -m benchmarks.ingest --corpus [--memory 1GB] [DOCUMENTS ...]

Both read the same CSV of made-up texts (about 150 bytes a row, 1 in 100 rows a copy, 1 in 100 a near-duplicate),
clean it, drop copies and conflicting labels, split by a hash of the normalised text, and write Parquet; the second time
they also leave out near-duplicates across splits, by MinHash. Berth writes its manifest and the rejected rows too.
pandas runs up to 1 M rows. With --corpus, ingest_corpus alone reads the same texts as documents.
"""

import argparse
import itertools
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import pandas as pd

_PANDAS_UP_TO = 1_000_000
_ROOT = Path(__file__).parents[1]

_MADE_UP = """
COPY (
    SELECT CASE WHEN hash(k, 7) % 5 = 0 THEN 'spam' ELSE 'ham' END AS label,
        array_to_string(
            list_transform(range(8 + (hash(k, 1) % 32)::BIGINT), lambda w: 'w' || (hash(k, w) % 40000)::VARCHAR), ' '
        ) || CASE WHEN i % 100 = 1 AND i > 100 THEN '' ELSE '.' END AS text
    FROM (SELECT i, CASE WHEN i % 50 = 1 AND i > 100 THEN i - 99 ELSE i END AS k FROM range({rows}) t(i))
) TO '{path}' (HEADER)
"""


def berth(source: str, out: str, near_duplicates: float) -> None:
    from components.ingest.settings import IngestSettings
    from components.ingest.step import ingest_source

    settings = IngestSettings.model_validate(
        {"source": {"files": source}, "cleaning": {"near_duplicates": near_duplicates}}
    )
    ingest_source(settings, f"{out}/dataset", f"{out}/rejected")


def corpus(source: str, out: str, near_duplicates: float, memory_limit: str) -> None:
    from components.ingest.corpus.step import ingest_documents
    from components.ingest.settings import CorpusSettings

    cleaning = {"near_duplicates": near_duplicates}
    settings = CorpusSettings.of(source={"files": source}, cleaning=cleaning, memory_limit=memory_limit)
    ingest_documents(settings, f"{out}/corpus", f"{out}/rejected")


def pandas(source: str, out: str, near_duplicates: float) -> None:
    import hashlib
    import unicodedata

    import numpy as np
    import pandas as pd

    rows = pd.read_csv(source, dtype=str, keep_default_na=False)
    rows["text"] = rows["text"].map(lambda text: unicodedata.normalize("NFC", text))
    rows["text"] = rows["text"].str.replace(r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]", "", regex=True)
    rows["label"] = rows["label"].str.strip()
    rows = rows[(rows["text"].str.strip() != "") & (rows["label"] != "")]
    rows = rows[rows.groupby("text")["label"].transform("nunique") == 1]
    rows = rows.drop_duplicates("text")
    normalised = rows["text"].str.lower().str.replace(r"\s+", " ", regex=True).str.strip()
    share = normalised.map(lambda text: int(hashlib.sha256(f"0|{text}".encode()).hexdigest()[:13], 16) / 16**13)
    rows["split"] = np.select([share < 0.8, share < 0.9], ["train", "validation"], "test")
    if near_duplicates:
        rows = rows.drop(index=list(_near(rows, near_duplicates)))
    for split, part in rows.groupby("split"):
        folder = Path(out) / str(split)
        folder.mkdir(parents=True)
        part[["text", "label"]].to_parquet(folder / "part-00000.parquet", compression="zstd")


def _near(rows: "pd.DataFrame", threshold: float) -> set[int]:
    """Return the index of each row that resembles one of an earlier split: three bands of three permutations."""
    import numpy as np
    import pandas as pd

    factors = np.random.default_rng(0).integers(0, 2**63, 9, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    parts = []
    for start in range(0, len(rows), 50_000):  # all at once would not fit into memory
        words = rows["text"].iloc[start : start + 50_000].str.lower().str.findall(r"[^\W_]+").explode().dropna()
        following = words.groupby(level=0).shift(-1)
        pairs = (words + " " + following).fillna(words)[following.notna() | ~words.index.duplicated(keep=False)]
        hashes = pd.util.hash_array(pairs.to_numpy())
        minima = pd.DataFrame({place: hashes * own for place, own in enumerate(factors)}, index=pairs.index)
        parts.append(minima.groupby(level=0).min())
    signatures = pd.concat(parts).join(rows["split"].map({"train": 0, "validation": 1, "test": 2}))
    near: set[int] = set()
    for band in ([0, 1, 2], [3, 4, 5], [6, 7, 8]):
        own = signatures.reset_index(names="row")[["row", "split", *band]]
        both = own.merge(own[own.groupby(band)["split"].transform("nunique") > 1], on=band)
        for one, other in both[both["split_x"] > both["split_y"]][["row_x", "row_y"]].itertuples(index=False):
            first, second = (_word_pairs(rows["text"][row]) for row in (one, other))
            if len(first & second) >= threshold * len(first | second):
                near.add(one)
    return near


def _word_pairs(text: str) -> set[tuple[str, str]]:
    words = re.findall(r"[^\W_]+", text.lower())
    return set(itertools.pairwise(words)) or {(words[0], "")}


def measure(task: str, source: Path) -> tuple[float, float, float]:
    """Run `task` on `source` in a process of its own; return the seconds it took, CPU-seconds and peak memory in GB."""
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as out:
        code = f"""
import json, resource, time
from benchmarks import ingest
start = time.perf_counter()
ingest.{task.format(source=repr(str(source)), out=repr(out))}
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20]))
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    seconds, cpu, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, cpu, memory


_TASKS = {
    "pandas": "pandas({source}, {out}, 0)",
    "Berth": "berth({source}, {out}, 0)",
    "pandas, near-duplicates too": "pandas({source}, {out}, 0.9)",
    "Berth, near-duplicates too (the default)": "berth({source}, {out}, 0.9)",
}


def main(sizes: list[int], tasks: dict[str, str]) -> None:
    table = Table("rows", "CSV", "by", "seconds", "CPU-seconds", "rows/s", "peak memory", "times pandas", box=None)
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as folder:
        for rows in sizes:
            import duckdb

            source = Path(folder) / "made_up.csv"
            duckdb.execute(_MADE_UP.format(rows=rows, path=source))
            size = f"{source.stat().st_size / 1e9:.2f} GB"
            pandas_speed = None
            for name, task in tasks.items():
                if name.startswith("pandas") and rows > _PANDAS_UP_TO:
                    continue
                seconds, cpu, memory = measure(task, source)
                speed = rows / seconds
                pandas_speed = speed if name.startswith("pandas") else pandas_speed
                ratio = f"{speed / pandas_speed:.1f}" if pandas_speed else ""
                table.add_row(
                    *(
                        f"{rows:,}",
                        size,
                        name,
                        f"{seconds:.1f}",
                        f"{cpu:.1f}",
                        f"{speed:,.0f}",
                        f"{memory:.2f} GB",
                        ratio,
                    )
                )
                print(
                    f"{rows:,} rows by {name}: {seconds:.1f} s, {cpu:.1f} of CPU, {memory:.2f} GB",
                    file=sys.stderr,
                    flush=True,
                )
            source.unlink()
    Console(width=125).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--corpus", action="store_true")
    parser.add_argument("--memory", default="1GB", help="memory_limit of ingest_corpus")
    chosen = parser.parse_args()
    of_a_corpus = {f"ingest_corpus, {chosen.memory}": f"corpus({{source}}, {{out}}, 0.9, {chosen.memory!r})"}
    main(chosen.sizes, of_a_corpus if chosen.corpus else _TASKS)
