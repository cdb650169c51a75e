"""TFDV's statistics of a split: in memory, in batches over all cores, or as an Apache Beam pipeline on any runner."""

import multiprocessing
import os
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.data.dataset import LABEL, PAIR, TEXT, Manifest, split_dir
from berth.data.tokenless import TOKEN
from berth.errors import BerthError, first_line
from berth.statistics.distances import Statistics
from berth.statistics.text_features import CATEGORIES, EMPTY, SAMPLED, TextFeatures

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow_data_validation as tfdv


_BATCH = 50_000
_FORK_FROM = 400_000
"""From this many rows on, several processes are faster than one."""
_EXAMPLES = 3


@dataclass
class Scan:
    """Findings of one pass over a split's shards, in addition to the statistics."""

    tokens: Counter[str] = field(default_factory=Counter)
    sampled: int = 0
    examples: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    """Texts that show a kind of anomaly, each with a score; for a label the kind is `label:<label>`."""
    lengths: list[int] = field(default_factory=list)
    """The sample's token counts."""
    hashes: "list[np.ndarray]" = field(default_factory=list)
    """The texts' hashes, uint64."""
    labels: "list[np.ndarray]" = field(default_factory=list)
    """The labels' hashes, uint64."""

    def add(self, other: "Scan") -> "Scan":
        """Add the findings of `other`, of further rows, to these and return these."""
        self.tokens.update(other.tokens)
        self.sampled += other.sampled
        self.lengths += other.lengths
        self.hashes += other.hashes
        self.labels += other.labels
        for kind, found in other.examples.items():
            self.examples[kind] = sorted(self.examples.get(kind, []) + found, key=lambda one: -one[0])[:_EXAMPLES]
        return self

    def note(self, kind: str, scores: Sequence[float], texts: Sequence[str]) -> None:
        """Keep the texts with the highest scores above 0."""
        best = sorted((score, number) for number, score in enumerate(scores) if score > 0)[-_EXAMPLES:]
        if best:
            self.add(Scan(examples={kind: [(score, texts[number]) for score, number in best]}))


def shards(dataset: str | Path, split: str) -> list[Path]:
    """Return the Parquet files of `split`, in the dataset's order."""
    return sorted(split_dir(dataset, split).glob("*.parquet"))


def stats_options(number_of_labels: int) -> "tfdv.StatsOptions":
    """Return TFDV's options for a dataset with so many labels."""
    import tensorflow_data_validation as tfdv

    # Domains are inferred from and checked with this histogram; TFDV's default is 1,000 values.
    return tfdv.StatsOptions(num_rank_histogram_buckets=max(1_000, number_of_labels))


def in_memory(
    dataset: str | Path, split: str, features: TextFeatures | None, sample: int, processes: int | None = None
) -> tuple[Statistics, Scan]:
    """Return the TFDV statistics of `split` and the other findings of the pass over its rows; memory is bounded.

    `features=None` leaves out the derived features. Large splits are read by several processes.

    Args:
        dataset: Its folder.
        split: One of its splits.
        features: Derives the features of texts.
        sample: The texts that these are derived of; 0: all.
        processes: How many read; None: as many as there are cores, for a large split.

    Example:
        >>> statistics, scan = in_memory(dataset, "train", None, sample=0)
        >>> statistics.datasets[0].num_examples
    """
    from tensorflow_data_validation.statistics import stats_impl

    manifest = Manifest.read(dataset)
    files = shards(dataset, split)
    quota = _quota(sample, files)
    processes = processes or (len(os.sched_getaffinity(0)) if manifest.rows[split] >= _FORK_FROM else 1)
    parts = [files[number::processes] for number in range(min(processes, len(files)))]
    arguments = [(part, features, quota, len(manifest.labels)) for part in parts]
    if len(parts) == 1:
        passes = [_pass(arguments[0])]
    else:
        with ProcessPoolExecutor(len(parts), mp_context=multiprocessing.get_context("fork")) as pool:
            passes = list(pool.map(_pass, arguments))
    generators = stats_impl.get_generators(stats_options(len(manifest.labels)), in_memory=True)
    merged = [
        generator.merge_accumulators([accumulators[number] for accumulators, _ in passes])
        for number, generator in enumerate(generators)
    ]
    scan = Scan()
    for _, part in passes:
        scan.add(part)
    return stats_impl.extract_statistics_output(merged, generators), scan


def with_beam(
    dataset: str | Path, split: str, features: TextFeatures | None, sample: int, beam_args: list[str]
) -> Statistics:
    """Return the same statistics, computed by an Apache Beam pipeline with the arguments `beam_args`.

    The result is passed through `--temp_location` if that is set: a runner's workers are on other machines.

    Raises:
        BerthError: Beam does not know the arguments, or the pipeline fails.
    """
    import apache_beam as beam
    import tensorflow_data_validation as tfdv
    from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

    files = shards(dataset, split)
    quota = _quota(sample, files)
    options = stats_options(len(Manifest.read(dataset).labels))
    with tempfile.TemporaryDirectory(prefix="berth-beam-") as folder:
        try:
            pipeline_options = PipelineOptions(list(beam_args))
            shared = pipeline_options.view_as(GoogleCloudOptions).temp_location
            target = f"{shared or folder}/berth-{uuid.uuid4().hex}.pb"
            with beam.Pipeline(options=pipeline_options) as pipeline:
                _ = (
                    pipeline
                    | "Shards" >> beam.Create([str(path) for path in files])
                    | "Spread" >> beam.Reshuffle()
                    | "Read" >> beam.FlatMap(_record_batches, features, quota)
                    | "Statistics" >> tfdv.GenerateStatistics(options)
                    | "Write" >> tfdv.WriteStatisticsToBinaryFile(target)
                )
        except SystemExit:  # argparse has printed what it does not know
            raise BerthError(f"beam_args: {' '.join(beam_args)} are not arguments of Apache Beam. Fix them.") from None
        except (RuntimeError, ValueError, OSError) as error:
            raise BerthError(f"beam_args: the Beam pipeline fails ({first_line(error)}). See the log above.") from error
        return tfdv.load_stats_binary(target)


def scan_only(dataset: str | Path, split: str, features: TextFeatures | None, sample: int) -> Scan:
    """Return the findings of a pass over the rows without their statistics, which Beam computes."""
    scan = Scan()
    files = shards(dataset, split)
    for path in files:
        for batch, rows in _batches(path, features, _quota(sample, files)):
            del batch
            scan.add(rows)
    return scan


def texts_of(dataset: str | Path, splits: Sequence[str], hashes: "np.ndarray") -> list[str]:
    """Return up to three texts of `splits` whose hashes, as a Scan has them, are among `hashes`, uint64 [texts]."""
    import numpy as np
    import pyarrow.parquet as pq

    found: dict[str, None] = {}
    for path in (path for split in splits for path in shards(dataset, split)):
        for read in pq.ParquetFile(path).iter_batches(_BATCH, columns=[TEXT, PAIR]):
            rows = np.flatnonzero(np.isin(_hashes(read), hashes))
            found.update(dict.fromkeys(read[TEXT].take(rows[:_EXAMPLES]).to_pylist()))
            if len(found) >= _EXAMPLES:
                return list(found)[:_EXAMPLES]
    return list(found)


def _quota(sample: int, files: list[Path]) -> int:
    """Return how many rows of each shard are in the sample; 0 means all."""
    return -(-sample // max(len(files), 1)) if sample else 0


def _pass(arguments: tuple[list[Path], TextFeatures | None, int, int]) -> tuple[list[object], Scan]:
    """Return the generators' accumulators after all of the shards' batches, and the scan."""
    from tensorflow_data_validation.statistics import stats_impl

    files, features, quota, number_of_labels = arguments
    generators = stats_impl.get_generators(stats_options(number_of_labels), in_memory=True)
    accumulators = [generator.create_accumulator() for generator in generators]
    scan = Scan()
    for path in files:
        for batch, found in _batches(path, features, quota):
            accumulators = [
                generator.add_input(accumulator, batch)
                for generator, accumulator in zip(generators, accumulators, strict=True)
            ]
            scan.add(found)
    return [generator.compact(made) for generator, made in zip(generators, accumulators, strict=True)], scan


def _record_batches(path: str, features: TextFeatures | None, quota: int) -> "Iterator[pa.RecordBatch]":
    for batch, _ in _batches(Path(path), features, quota):
        yield batch


def _batches(path: Path, features: TextFeatures | None, quota: int) -> "Iterator[tuple[pa.RecordBatch, Scan]]":
    """Yield a shard's rows in TFDV's format, every column a list array, with the findings for them.

    Slice columns are left out: models do not see them, and one may have the name of a derived feature.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    seen = 0
    file = pq.ParquetFile(path)
    own = [name for name in (TEXT, PAIR, LABEL) if name in file.schema_arrow.names]
    for read in file.iter_batches(_BATCH, columns=own):
        table = pa.Table.from_batches([read]).select(own)  # Parquet treats `text.x` as a part of `text`
        texts, labels = table[TEXT].combine_chunks(), table[LABEL].combine_chunks()
        columns = {name: _as_lists(table[name].combine_chunks()) for name in table.column_names}
        pairs = table[PAIR].to_pylist() if PAIR in table.column_names else None
        flat = labels.to_pylist() if pa.types.is_list(labels.type) else labels
        names = pd.Series(["\x1f".join(one) for one in flat]) if isinstance(flat, list) else labels.to_pandas()
        scan = Scan(
            hashes=[_hashes(table)],
            labels=[pd.util.hash_array(names.to_numpy(dtype=object))],
        )
        for row, label in names.groupby(names).head(_EXAMPLES).items():
            scan.examples.setdefault(f"label:{label}", []).append((0.0, texts[row].as_py()))
        chosen = min(read.num_rows, quota - seen) if quota else read.num_rows
        if features and chosen > 0:
            sample = texts.slice(0, chosen).to_pylist()
            derived = features.derive(sample, pairs[:chosen] if pairs else None, languages=seen == 0)
            for name in SAMPLED:
                values = derived.values[name] + [None] * (read.num_rows - chosen)
                columns[name] = _as_lists(pa.array(values, _type(name)))
            scan.tokens, scan.sampled = derived.tokens, chosen
            scan.lengths = derived.values["token_count"]
            _note_examples(scan, derived.values, sample)
        if features:
            columns[EMPTY] = _as_lists(_empty_ones(table))
            flagged = texts.filter(columns[EMPTY].flatten().cast(pa.bool_())).slice(0, _EXAMPLES).to_pylist()
            scan.note("empty_texts", [1.0] * len(flagged), flagged)
        if features and chosen <= 0:
            for name in SAMPLED:
                columns[name] = pa.nulls(read.num_rows, pa.list_(_type(name)))
        seen += read.num_rows
        yield pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)), scan


def _empty_ones(table: "pa.Table") -> "pa.Array":
    """Return 1 for each row without a token in it, int64."""
    import pyarrow.compute as pc

    found = pc.match_substring_regex(table[TEXT].combine_chunks(), TOKEN)
    if PAIR in table.column_names:
        found = pc.or_(found, pc.match_substring_regex(table[PAIR].combine_chunks(), TOKEN))
    return pc.invert(found).cast("int64")


def _hashes(table: "pa.Table | pa.RecordBatch") -> "np.ndarray":
    """Return the hashes of the rows' texts, of both texts together where they come in pairs; uint64."""
    import pandas as pd

    whole = table[TEXT].to_pandas().to_numpy(dtype=object)
    if PAIR in table.schema.names:
        whole = whole + "\x1f" + table[PAIR].to_pandas().to_numpy(dtype=object)
    return pd.util.hash_array(whole, categorize=False)


def _note_examples(scan: Scan, values: dict[str, list[Any]], texts: list[str]) -> None:
    """Keep the texts that best show the possible anomalies of each derived feature."""
    lengths = values["token_count"]
    scan.note("short_texts", values["is_short"], texts)
    scan.note("unknown_tokens", values["unknown_share"], texts)
    scan.note("truncated_texts", [flag * n for flag, n in zip(values["is_truncated"], lengths, strict=True)], texts)
    scan.note("token_count", lengths, texts)
    scan.note("letter_share", [1 - share for share in values["letter_share"]], texts)
    for feature in CATEGORIES:
        for value in set(values[feature]) - {None}:
            scan.note(f"{feature}:{value}", [float(one == value) for one in values[feature]], texts)


def _type(feature: str) -> "pa.DataType":
    import pyarrow as pa

    return pa.string() if feature in CATEGORIES else pa.float64() if "share" in feature else pa.int64()


def _as_lists(column: "pa.Array") -> "pa.ListArray":
    """Return an Arrow array as one of lists of one value each; a null stays null, which means a missing value."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type):
        return column
    present = pc.is_valid(column).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(present)]).astype(np.int32)
    offsets = pa.array(ends, mask=np.append(~present, False)) if not present.all() else pa.array(ends)
    return pa.ListArray.from_arrays(offsets, column.drop_null() if hasattr(column, "drop_null") else column)
