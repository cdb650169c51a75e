"""Sections of a run configuration, as pydantic models that document every field.

A step gets its sections as dicts, KFP parameters, in which every number is a float.
"""

import datetime
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from berth.storage.addresses import with_lower_scheme

Fraction = Annotated[float, Field(gt=0, lt=1)]
Score = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Severity = Literal["error", "warn", "ignore"]
Address = Annotated[str, AfterValidator(with_lower_scheme)]

AUTO = "auto"
"""The value of a setting that the run chooses."""
TRUNCATE = "truncate"
"""The value of `long_texts` that cuts texts off; the others read them in windows."""
LONGEST = 512
"""The most tokens that `sequence_length` takes, and that `auto` chooses."""


class Section(BaseModel):
    """A section of a configuration: it cannot be changed, and an unknown key, NaN or infinity is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


ENVIRONMENT = "env:"
"""Begins a value that is in an environment variable, `env:NAME`."""
VARIABLE = re.compile(rf"({ENVIRONMENT}[A-Za-z_][A-Za-z0-9_]*)?")


class Split(Section):
    """The division of rows into splits. By `text`, a text's split depends only on the text and the seed."""

    by: Literal["text", "time", "column"] = Field(
        "text",
        description="`text`: by a hash of the text. `time`: the newest rows are the test. `column`: by that column.",
    )
    column: str = Field("", description="The column that holds the time, or the words train, validation, test.")
    time_format: str = Field(
        "",
        description="How times are written, as in Python's strptime: `%d.%m.%Y`, `%m/%d/%Y %H:%M`; empty: ISO 8601, "
        "or seconds, milli-, micro- or nanoseconds since 1970.",
    )
    train: Fraction = Field(0.8, description="Share of the texts to train on.")
    validation: Fraction = Field(0.1, description="Share that chooses the best epoch.")
    test: Fraction = Field(0.1, description="Share that the gates are judged on; the model never sees it before.")
    seed: int = Field(0, ge=0, description="Another seed assigns the texts to other splits.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            total = self.train + self.validation + self.test
            raise ValueError(f"train, validation and test must add up to 1, not {total:g}")
        if (self.by == "text") == bool(self.column):
            raise ValueError("by time and by column need the name of a column, by text has none")
        if self.time_format:
            self._check_time_format()
        return self

    def _check_time_format(self) -> None:
        if self.by != "time" or "%" not in self.time_format:
            raise ValueError("time_format: for by: time, with fields such as %d.%m.%Y")
        try:
            datetime.datetime.strptime("", self.time_format)
        except ValueError as error:  # it always raises: the empty text is not a time
            if "does not match" not in str(error):
                raise ValueError(f"time_format: {error}; write fields such as %d.%m.%Y") from None


class RareLabels(Section):
    """Labels that few texts have. They never end a run: see docs/data.md. Set both fields or none."""

    min_texts: int = Field(0, ge=0, description="A label with fewer texts is rare; 0: none is.")
    then: Literal["keep", "drop", "other"] = Field(
        "keep",
        description="What happens to rare labels. `keep`: nothing. `drop`: their rows are rejected; in multi-label "
        "data only the label goes. `other`: they become one label, `other`.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.min_texts > 1 and "then" not in self.model_fields_set:
            raise ValueError("min_texts alone changes nothing; add then: drop, or then: other")
        if self.then != "keep" and self.min_texts <= 1:
            raise ValueError(f"then: {self.then} needs min_texts, of 2 or more")
        return self


class Cleaning(Section):
    """Cleaning of texts before they are split. The manifest counts the rows that each rule changed."""

    nfc: bool = Field(True, description="Unicode normal form C.")
    control_characters: bool = Field(True, description="Remove control characters except tabs and line ends.")
    html_entities: bool = Field(False, description="Turn &amp;amp; into &amp; and so on.")
    near_duplicates: Score = Field(
        0.9,
        description="Look for texts of a later split (test after validation after train) whose word pairs have this "
        "Jaccard similarity or more with a text of an earlier one; 0: do not look.",
    )
    keep_near_duplicates: bool = Field(False, description="Count them and leave them where they are.")


class Gates(Section):
    """Bounds that a model must meet on the test split to be blessed. Without any, nothing is pushed."""

    min_accuracy: Score | None = Field(None, description="Lowest accuracy; multi-label: all of a text's labels right.")
    min_macro_f1: Score | None = Field(None, description="Lowest unweighted mean of the classes' F1.")
    min_micro_f1: Score | None = Field(None, description="Lowest F1 over all decisions together.")
    min_weighted_f1: Score | None = Field(None, description="Lowest mean of the classes' F1, weighted by their texts.")
    min_mcc: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        None, description="Lowest Matthews correlation coefficient."
    )
    min_roc_auc: Score | None = Field(None, description="Lowest area under the ROC curve.")
    min_pr_auc: Score | None = Field(None, description="Lowest average precision.")
    min_precision: dict[str, Score] = Field({}, description="Lowest precision of labels, `{fraud: 0.95}`.")
    min_recall: dict[str, Score] = Field({}, description="Lowest recall of labels, `{fraud: 0.9}`.")
    min_f1: dict[str, Score] = Field({}, description="Lowest F1 of labels.")
    min_coverage: Score | None = Field(
        None, description="Lowest share of the test texts that get a label, with training.abstain_below."
    )
    max_log_loss: Positive | None = Field(None, description="Highest mean cross-entropy, in nats.")
    max_ece: Score | None = Field(None, description="Highest expected calibration error.")
    max_drop: Score | None = Field(
        None, description="How far `metric` may be below the champion's, at most, with `confidence`."
    )
    min_slice_accuracy: Score | None = Field(
        None, description="Lowest accuracy in any slice, shown with `confidence`: a lower bound."
    )
    max_slice_drop: Score | None = Field(
        None,
        description="How far any slice's accuracy may be below the champion's; fails if a larger drop is certain "
        "for at least one slice.",
    )
    must_beat_baseline: bool = Field(False, description="`metric` must exceed that of TF-IDF + logistic regression.")
    max_p95_ms: Positive | None = Field(
        None, description="Highest 95th percentile of the time that a request of one text takes, in milliseconds."
    )
    max_size_mb: Positive | None = Field(None, description="Largest model, in megabytes (10^6 bytes).")
    metric: Literal["accuracy", "macro_f1", "micro_f1", "weighted_f1", "mcc", "roc_auc", "pr_auc"] = Field(
        "macro_f1", description="The metric that max_drop and must_beat_baseline compare."
    )
    confidence: Fraction = Field(0.95, description="Confidence of every interval, also in max_drop and max_slice_drop.")


class Evaluation(Section):
    """Evaluation of a model; the gates set the bounds."""

    resamples: int = Field(10_000, ge=1_000, description="Draws of the paired bootstrap, at most.")
    min_slice_size: int = Field(20, ge=2, description="Slices of fewer test texts are not judged.")
    baseline_rows: int = Field(
        50_000, ge=0, description="How many texts the TF-IDF baseline learns from, at most; 0: no baseline."
    )
    seed: int = Field(0, ge=0, description="Seeds the bootstrap.")
    explain: int = Field(
        20, ge=0, le=20, description="How many of the report's mistakes show the words that the model used."
    )
    tensorflow_serving: str = Field(
        "", description="Path of `tensorflow_model_server`, to send the serving check's requests to it as well."
    )


KINDS: dict[str, tuple[Severity, str]] = {
    "schema": ("error", "a column is missing or new, has another type, or misses values"),
    "unexpected_label": ("error", "a label that the schema does not have"),
    "unexpected_value": ("error", "a value outside the schema's domain, in a column that is not the label"),
    "missing_label": ("warn", "a label of the train split that another split does not have"),
    "label_balance": ("warn", "a label's share of the train split is below `min_label_share`"),
    "empty_texts": ("error", "texts without a single token, more than `max_empty`"),
    "short_texts": ("warn", "texts of fewer than `short_tokens` tokens, more than `max_short`"),
    "truncated_texts": ("warn", "texts of more tokens than `sequence_length`, more than `max_truncated`"),
    "unknown_tokens": ("warn", "the mean share of a text's tokens that the vocabulary lacks is above `max_unknown`"),
    "duplicates": ("error", "a text that is in two splits"),
    "near_duplicates": ("warn", "texts that resemble one of an earlier split, more than `max_near_duplicates`"),
    "two_labels": ("error", "a text that carries two labels"),
    "rejected_rows": ("warn", "rows that ingest rejected, more than `max_rejected`"),
    "drift": ("error", "the train split differs from the champion's by more than `drift_...`"),
    "skew": ("warn", "validation or test differs from train by more than `skew_...`"),
}
"""Every kind of anomaly, with its default severity and its meaning."""


class Checks(Section):
    """Checks of validate in addition to the schema, and the severity of each kind."""

    severity: dict[str, Severity] = Field(
        {}, description="`error`, `warn` or `ignore` by kind of anomaly; the table below has the kinds."
    )
    sample: int = Field(
        5_000, ge=0, description="Texts of a split that are looked at token by token, drawn by their hash; 0: all."
    )
    max_empty: Score = Field(0.0, description="Share of texts without a token.")
    short_tokens: int = Field(2, ge=1, description="Texts of fewer tokens are very short.")
    max_short: Score = Field(0.1, description="Share of very short texts.")
    max_truncated: Score = Field(0.1, description="Share of texts that `sequence_length` cuts off.")
    max_unknown: Score = Field(0.05, description="Mean share of a text's tokens that are [UNK].")
    max_near_duplicates: Score = Field(0.01, description="Share of a split's texts that resemble an earlier split's.")
    max_rejected: Score = Field(0.1, description="Share of the source's rows that ingest rejected.")
    min_label_share: Score = Field(0.01, description="Smallest share of a label in the train split.")
    drift_categories: Score = Field(
        0.1, description="L-infinity of labels, languages and scripts. Few texts raise all four bounds."
    )
    drift_numbers: Score = Field(0.1, description="Jensen-Shannon divergence of token counts and shares of letters.")
    skew_categories: Score = Field(0.1, description="The same between a split and train.")
    skew_numbers: Score = Field(0.1, description="The same between a split and train.")

    @model_validator(mode="after")
    def _knows_the_kinds(self) -> Self:
        for kind in self.severity:
            if kind not in KINDS:
                raise ValueError(f"severity: there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")
        return self

    def of(self, long_texts: str) -> Self:
        """Return the checks of a run with this `long_texts`: where all of a text is read, none is cut off.

        Example:
            >>> checks = Checks.model_validate({})
            >>> checks.severity_of("truncated_texts"), checks.of("windows").severity_of("truncated_texts")
            ('warn', 'ignore')
        """
        if long_texts == TRUNCATE:
            return self
        return self.model_copy(update={"severity": self.severity | {"truncated_texts": "ignore"}})

    def severity_of(self, kind: str) -> Severity:
        """Return how severe an anomaly of `kind`, a key of KINDS, is in this run.

        Example:
            >>> checks = Checks.model_validate({"severity": {"drift": "warn"}})
            >>> checks.severity_of("drift"), checks.severity_of("two_labels")
            ('warn', 'error')
        """
        return self.severity.get(kind, KINDS[kind][0])


class Notify(Section):
    """Notifications when a run ends. If the webhook or the mail server fails, finish only logs a warning."""

    on: Literal["", "failure", "blessed", "always"] = Field(
        "", description="`failure`: the run failed. `blessed`: a model is the new champion. Empty: never."
    )
    webhook: str = Field(
        "",
        description="`env:NAME`: the variable that holds the address of a webhook that accepts Slack's messages. On a "
        "cluster, `env:BERTH_WEBHOOK_URL`: a key of the secret `cluster.notify_secret`.",
    )
    smtp_host: str = Field(
        "",
        description="The mail server. The variables or keys BERTH_SMTP_USER and BERTH_SMTP_PASSWORD sign in.",
    )
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port; on 465 TLS is used from the start.")
    smtp_from: str = Field("", description="The sender of mails.")
    smtp_to: list[str] = Field([], description="The recipients.")

    @model_validator(mode="after")
    def _has_somewhere_to_send(self) -> Self:
        # The value is not shown: it may be the address itself, which is a secret.
        if not VARIABLE.fullmatch(self.webhook):
            raise ValueError("webhook: write env:NAME, and put the webhook's address into the variable NAME")
        if self.on and not (self.webhook or self.smtp_host):
            raise ValueError("on: there is neither a webhook nor an smtp_host to notify")
        if self.smtp_host and not (self.smtp_from and self.smtp_to):
            raise ValueError("smtp_host needs smtp_from and smtp_to")
        if any(
            not re.fullmatch(r"[^\s@<>,]+@[^\s@<>,]+", address)
            for address in [*self.smtp_to, self.smtp_from]
            if address
        ):
            raise ValueError("smtp_from and smtp_to: addresses only, such as ml@example.com")
        return self
