import glob
import re
from pathlib import Path

import pytest
import yaml

from berth.data.source import Source
from berth.errors import BerthError
from berth.settings import Checks, Cleaning, Gates, Split
from berth.training.recipe import Recipe
from pipeline.config.reference import reference
from pipeline.config.run_config import RunConfig

ROOT = Path(__file__).parents[3]


def test_a_hub_s_page_needs_its_preprocessor_or_none(load):
    """A folder may bring its own: its content decides."""
    config = load("name: a\nsource: b\nencoder: https://tfhub.dev/google/nnlm/2\npreprocessor: none\n")
    assert config.preprocessor == "none"
    assert ("preprocessor", "none") not in list(config.places())
    assert load("name: a\nsource: b\nencoder: bert/\n").preprocessor == ""


def test_the_demo_needs_nothing_but_its_own_folder():
    config = RunConfig.load(ROOT / "examples/sms-spam/config.yaml")
    assert Path(config.source.files).is_file()
    assert Path(config.schema_file).is_file()
    assert config.model_name == "sms-spam"


def test_relative_paths_start_at_the_file_and_addresses_stay(load, tmp_path):
    """Relative paths are resolved from the folder of the file."""
    config = load("name: a\nsource: data/*.csv\npush_to: s3://bucket/models\nencoder: ../bert\npreprocessor: /p\n")
    assert config.source.files == str(tmp_path / "data/*.csv")
    assert config.push_to == "s3://bucket/models"
    assert config.encoder == str(tmp_path / "../bert")
    assert config.preprocessor == "/p"


def test_the_baseline_recipe_brings_its_own_learning_rate(load):
    def peak(text: str) -> float:
        config = load(f"name: a\nsource: b\n{text}")
        return Recipe(config.recipe, 1, 32, config.learning_rate, 0.1, 0.01, 0).peak_learning_rate

    assert peak("recipe: baseline\n") == 1e-3
    assert peak("recipe: baseline\nlearning_rate: 0.1\n") == 0.1
    assert peak("") == 3e-5


def test_schema_travels_by_content(load, tmp_path):
    """A cluster does not have the local schema file."""
    (tmp_path / "schema.pbtxt").write_text('feature { name: "text" }')
    assert load("name: a\nsource: b\nschema: schema.pbtxt\n").parameters()["schema"] == 'feature { name: "text" }'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nsource: b\nepoch: 3\n", "unknown key 'epoch'. Did you mean 'epochs'?"),
        ("name: a\nsource: b\nzzz: 3\n", "unknown key 'zzz'. Valid keys: name, source,"),
        (
            "name: a\nsource: b\ngates: {min_acuracy: 1}\n",
            "unknown key 'gates.min_acuracy'. Did you mean 'min_accuracy'?",
        ),
        (
            "name: a\nsource: b\ncluster: {resources: {evaluate: {gpu_counts: 1}}}\n",
            "unknown key 'cluster.resources.evaluate.gpu_counts'. Did you mean 'gpu_count'?",
        ),
        ("name: a\n", "'source' is missing"),
        ("name: a\nsource: b\nepochs: many\n", "epochs: input should be auto or a valid integer"),
        ("name: a\nsource: b\nepochs: -1\n", "epochs: write auto, or a number above 0"),
        (
            "name: a\nsource: b\ntraining: {select_by: last, early_stopping: 2}\n",
            "training: early_stopping: with select_by: last no evaluation is worse than another; set only one",
        ),
        ("name: a\nsource: b\nlearning_rate: 1e-400\n", "learning_rate: write auto, or a number above 0"),
        (
            "name: a\nsource: b\ntask: multi_label\nrecipe: contrast\n",
            "recipe: contrast needs one label a text, and these have several; leave it out",
        ),
        ("name: a\nsource: b\nrare_labels: {min_texts: 5}\n", "rare_labels: min_texts alone changes nothing; add then"),
        ("name: a\nsource: b\nrare_labels: {then: drop}\n", "rare_labels: then: drop needs min_texts, of 2 or more"),
        (
            "name: a\nsource: b\ntraining: {head_rate: 0}\n",
            "config.yaml: training.head_rate: input should be auto or greater than 0, not 0",
        ),
        (
            "name: a\nsource: b\ntraining: {head_rate: many}\n",
            "training.head_rate: input should be auto or a valid number",
        ),
        (
            "name: a\nsource: b\nsequence_length: 1000\n",
            "sequence_length: input should be auto or less than or equal to 512, not 1000",
        ),
        ("name: a\nsource: b\nepochs: 0\n", "epochs: write auto, or a number above 0"),
        (
            "name: a\nsource: b\ngates: {min_accuracy: 98}\n",
            "gates.min_accuracy: input should be less than or equal to 1",
        ),
        ("name: a\nsource: b\nlearning_rate: .nan\n", "learning_rate: input should be auto or a valid number"),
        ("name: a\nsource: b\nlearning_rate: nan\n", "learning_rate: input should be auto or a finite number"),
        ("name: a\nsource: b\nsplit: {train: 0.9}\n", "split: train, validation and test must add up to 1, not 1.1"),
        (
            "name: a\nsource: b\nrecipe: best\n",
            "recipe: input should be 'berth', 'fine_tune', 'contrast', 'frozen', 'auto' or 'baseline', not 'best'",
        ),
        (
            "name: a\nsource: b\nrecipe: baseline\ntraining: {layer_decay: 0.9}\n",
            "training.layer_decay: recipe: baseline does not use it; leave it out, or choose recipe: berth",
        ),
        ("name: a\nsource: b\nrecipe: frozen\nepochs: 3\n", "epochs: recipe: frozen does not use it"),
        (
            "name: a\nsource: b\nlong_texts: windows\ntext_pair_column: other\n",
            "long_texts: windows is for single texts; leave it or text_pair_column out",
        ),
        (
            "name: a\nsource: b\nlong_texts: windows\nencoder: nnlm\npreprocessor: none\n",
            "long_texts: windows: an encoder that takes texts reads all of them",
        ),
        (
            "name: a\nsource: b\nlong_texts: windows_max\ntraining: {truncate: tail}\n",
            "training.truncate: with long_texts: windows_max nothing is cut; leave it out",
        ),
        ("name: A b\nsource: b\nmodel_name: a\n", "name: use 1 to 63 lower-case letters"),
        ("name: a\nsource: b\nencoder: https://tfhub.dev/x\n", "preprocessor: name the TF-Hub preprocessor"),
        ("name: a\nsource: b\ncolumns: [x, y]\n", "text_column: 'text' is not in columns: x, y"),
        (
            "name: a\nsource: b\ncolumns: [text, label]\nslice_columns: [region]\n",
            "slice_columns: 'region' is not in columns: text, label",
        ),
        (
            "name: a\nsource: b\ntask: multi_label\nthreshold_metric: mcc\n",
            "threshold_metric: mcc needs exactly one label",
        ),
        (
            "name: a\nsource: b\ntask: multi_label\ngates: {min_mcc: 0.5}\n",
            "gates.min_mcc: mcc needs exactly one label",
        ),
        (
            "name: a\nsource: b\ngates: {must_beat_baseline: true}\nevaluation: {baseline_rows: 0}\n",
            "gates.must_beat_baseline: there is no baseline",
        ),
        (
            "name: a\nsource: b\ngates: {min_coverage: 0.9}\n",
            "gates.min_coverage: every text gets a label without training.abstain_below; set that too",
        ),
        ("name: a\nsource: b\npush_to: s3://me:secret@bucket/x\n", "push_to: an address with a user or password"),
        ("name: a\nsource: b\nkeep: 0\n", "keep: input should be greater than or equal to 1"),
        ("name: a\nsource: b\ngates: {metric: f1}\n", "gates.metric: input should be 'accuracy', 'macro_f1'"),
        ("name: a\nsource: b\nlabel_column: text\n", "label_column: 'text' is the text column too"),
        ("name: a\nsource: [b\n", "line 3, column 1: not valid YAML"),
        ("- a\n", "holds no settings"),
        ("", "holds no settings"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(load, text, message):
    with pytest.raises(BerthError) as caught:
        load(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_missing_schema_are_one_line(load, tmp_path):
    with pytest.raises(BerthError, match="no such configuration file"):
        RunConfig.load(tmp_path / "nothing.yaml")
    with pytest.raises(BerthError, match="cannot be read"):
        RunConfig.load(tmp_path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BerthError, match="not UTF-8 text"):
        RunConfig.load(tmp_path / "binary")
    with pytest.raises(BerthError, match=r"schema: .*gone\.pbtxt cannot be read: No such file"):
        load("name: a\nsource: b\nschema: gone.pbtxt\n").parameters()


def test_the_reference_in_docs_is_the_one_that_the_code_gives():
    written = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    assert written == reference(), "run: berth config docs > docs/configuration.md"


def test_every_field_is_explained():
    for section in (RunConfig, Source, Split, Cleaning, Checks, Gates):
        for name, field in section.model_fields.items():
            assert field.description, name


def test_query_source_resolves_paths_from_the_config_folder(load, tmp_path):
    """A SQL query is a valid source, and it starts in the folder of the configuration."""
    assert load("name: a\nsource: {sql: SELECT 1}\n").parameters()["source"] == {
        "sql": "SELECT 1",
        "folder": str(tmp_path),
    }
    over = load("name: a\nsource: {sql: SELECT 1, connection: 'env:URL'}\n").parameters()["source"]
    assert over == {"sql": "SELECT 1", "connection": "env:URL"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source: {sql: SELECT 1, connection: 'postgresql://me:secret@host/x'}", "source: connection: write env:NAME"),
        ("source: {sql: SELECT 1, files: a.csv}", "source: give one of: files, train"),
        ("source: https://me:secret@host/a.csv", "source: an address with a user or password in it"),
        (
            "source: HTTPS://h/a.csv?X-Amz-Date=1&X-Amz-Signature=secret",
            "source: an address with a user or password in",
        ),
        (
            "source: https://h/a.csv?sv=1&sig=secret",
            "in it, a key or a signature, which would be recorded with the run",
        ),
        (
            "source: {train: a, test: 'https://h/a.csv?token=secret'}",
            "Write env:NAME, and put the address into the var",
        ),
        ("source: https://h/a.csv#access_token=secret", "source: an address with a user or password in it"),
        ("source: ['https://h/a.csv?sig=secret']", "source: input should be a mapping of settings"),
        ("source: {sql: 'FROM \"https://h/a.csv?sig=secret\"'}", "source: sql: an address with a user or password"),
        ("source: {sql: SELECT 'dbname=x password=secret'}", "source: sql: an address with a user or password"),
        ("source: env:secret/word", "source: write env:NAME"),
        ("source: a.csv\npush_to: s3://me:secret@bucket/x", "push_to: an address with a user or password"),
        ("source: a.csv\ncheckpoints: s3://b/x?key=secret", "checkpoints: an address with a user or password"),
        ("source: a.csv\nbeam_args: ['--to=https://h/?token=secret']", "beam_args: an address with a user or password"),
        ("source: a.csv\npreprocessor: https://h/x.tgz?sig=secret", "preprocessor: an address with a user or password"),
        ("source: {}", "source: give one of: files, train"),
        ("source: {files: a.csv, test: b.csv}", "source: validation and test need train"),
        ("source: a.csv\nsplit: {by: time}", "split: by time and by column need the name of a column"),
        ("source: a.csv\nsplit: {column: when}", "split: by time and by column need the name of a column"),
        ("source: a.csv\ntask: both", "task: input should be 'single_label' or 'multi_label'"),
        ("source: a.csv\nmemory_limit: much", "memory_limit: string should match"),
        ("source: a.csv\nchecks: {severity: {drfit: warn}}", "checks: severity: there is no kind 'drfit'"),
        ("source: a.csv\nchecks: {severity: {drift: fatal}}", "checks.severity.drift: input should be 'error', 'warn'"),
        ("source: a.csv\ncleaning: {near_duplicates: 2}", "cleaning.near_duplicates: input should be less than"),
        ("source: a.csv\ncleaning: {nfd: true}", "unknown key 'cleaning.nfd'. Did you mean 'nfc'?"),
        ("source: a.csv\ntext_pair_column: text", "text_pair_column: 'text' is the text column too"),
        ("source: a.csv\non_unchanged: stop", "on_unchanged: input should be 'train' or 'skip'"),
    ],
)
def test_a_wrong_setting_about_data_is_one_line_that_names_it(load, text, message):
    with pytest.raises(BerthError) as caught:
        load(f"name: a\n{text}\n")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "https://h/a.csv?version=3&design=x&author=y",
        "s3://b/what?.csv",
        "https://h/#top",
        "env:SOURCE_URL",
        "gs://b/k#2",
    ],
)
def test_address_without_a_secret_is_kept_as_it_is(load, address):
    assert load(f"name: a\nsource: '{address}'\n").source.files == address


def test_schemes_are_written_in_lower_case(load):
    config = load("name: a\nsource: {train: S3://B/Key, test: HTTPS://Host/Key}\npush_to: GS://Bucket/M\n")
    assert config.source.split_files() == {"train": "s3://B/Key", "test": "https://Host/Key"}
    assert config.push_to == "gs://Bucket/M"


def test_absolute_glob_finds_a_folder_with_a_bracket(tmp_path, load):
    """The folder `p [1]` is meant, not a folder `p 1`."""
    for folder in ("p [1]", "p 1"):
        (tmp_path / folder / "in[2]").mkdir(parents=True)
        (tmp_path / folder / "in[2]" / "rows.csv").write_text("text,label\na,b\n")
    for pattern in ("in[2]/*.csv", "*/*.csv", "in[[]2]/r*.csv"):
        files = load(f"name: a\nsource: '{tmp_path}/p [1]/{pattern}'\n").source.files
        assert glob.glob(files) == [str(tmp_path / "p [1]" / "in[2]" / "rows.csv")]  # noqa: PTH207


@pytest.mark.parametrize("name", ["a[1]b", "what?", "st*r"])
@pytest.mark.parametrize(
    "source", ["rows.csv", "r*.csv", "r[a-p]ws.csv", {"sql": "SELECT * FROM 'rows.csv'"}, {"sql": "FROM 'r*.csv'"}]
)
def test_folder_names_with_glob_characters_are_literal(tmp_path, name, source):
    from components.ingest.settings import IngestSettings
    from components.ingest.sources.source import fingerprint

    for folder, texts in ((name, "a,b"), ("a1b", "c,d"), ("whats", "c,d"), ("stir", "c,d")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "rows.csv").write_text(f"text,label\n{texts}\n")
    config = tmp_path / name / "c.yaml"
    config.write_text(yaml.safe_dump({"name": "n", "source": source}))
    loaded = RunConfig.load(config)
    found = fingerprint(IngestSettings.of(source=loaded.parameters()["source"]))
    (tmp_path / name / "rows.csv").write_text("text,label\ne,f\n")
    assert fingerprint(IngestSettings.of(source=loaded.parameters()["source"])) != found


@pytest.mark.parametrize("source", ["rows.csv", "r*.csv", "more/*.csv"])
def test_missing_files_in_such_a_folder_are_not_found_elsewhere(tmp_path, source):
    from components.ingest.settings import IngestSettings
    from components.ingest.sources.source import fingerprint

    (tmp_path / "a[1]b").mkdir()
    (tmp_path / "a1b").mkdir()
    (tmp_path / "a1b" / "rows.csv").write_text("text,label\nc,d\n")
    config = tmp_path / "a[1]b" / "c.yaml"
    config.write_text(yaml.safe_dump({"name": "n", "source": source}))
    loaded = RunConfig.load(config)
    shown = rf"source: no file matches {re.escape(str(config.parent / source))}\. Paths"
    with pytest.raises(BerthError, match=shown):
        fingerprint(IngestSettings.of(source=loaded.parameters()["source"]))
