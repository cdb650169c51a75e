"""The phases of pre-training: new heads on the encoder as it is, a look at that, then all weights together.

New heads on a trained encoder would harm it: their first gradients are large and say nothing of language.
"""

from collections.abc import Mapping

from berth.data.corpus import HELD_OUT, TRAIN
from berth.pretraining import examples
from berth.pretraining.batches import Masker, TokenRows
from berth.pretraining.before import Before
from berth.pretraining.held_out import Sums, held_out_rows, judge
from berth.pretraining.settings import Pretraining
from berth.pretraining.special_tokens import SpecialTokens
from berth.pretraining.token_store import TokenStore
from berth.training.checkpoints import Checkpoints
from berth.training.devices import Devices
from berth.training.optimizer import rate_factors
from berth.training.recipe import Recipe
from berth.training.settings import Training
from berth.training.trainer import Log, Outcome, Trainer
from components.pretrain.model import PretrainingModel
from components.pretrain.origin import Origin
from components.pretrain.rounds import Rounds
from components.pretrain.task import PretrainingTask

_HEAD_RATE = 1e-3
"""Learning rate of new heads while the encoder is still."""
_HEAD_TOKENS = 1_024
"""Tokens of a batch, at most, while the encoder is still: its word table is not updated, so that small steps are cheap.
"""
_CURVE_ROWS = 512
"""Held-out rows that each evaluation during training looks at."""


class Phases:
    """One pre-training.

    Args:
        origin: What it starts from.
        settings: How.
        stores: The tokenised splits.
        tokens: The preprocessor's.
        devices: Where.
        log_metrics: See Trainer; metrics of the heads' phase begin with `heads/`.
    """

    before: Before
    """Set by `run`."""
    after: Sums
    """Set by `run`: the held-out documents after training."""

    def __init__(
        self,
        origin: Origin,
        settings: Pretraining,
        stores: Mapping[str, TokenStore],
        tokens: SpecialTokens,
        devices: Devices,
        log_metrics: Log,
    ) -> None:
        self.settings, self.stores, self.tokens, self.devices = settings, stores, tokens, devices
        self.log_metrics: Log = log_metrics if devices.chief else lambda *_: None
        made = origin.encoder, origin.name, settings.seed, settings.nsp
        self.model = PretrainingModel(*made)
        # Now, not after the heads' phase: what the settings ask of the encoder's layers and it does not have.
        names = [own.name for own in self.model.variables]
        rate_factors(names, settings.layer_decay, settings.freeze_embeddings, settings.freeze_layers)
        with devices.scope():
            # What TF-Hub loads in a strategy's scope runs in its replicas alone: it cannot be evaluated or exported.
            self.replicated = PretrainingModel(*made) if devices.replicas > 1 else self.model
        self.masker = Masker(settings, tokens, devices.multiple)
        self.rounds = Rounds(stores[TRAIN], settings, tokens.end)
        self.held_out = held_out_rows(stores[HELD_OUT], settings, tokens.end)
        # A new encoder has nothing that new heads could harm.
        self.warms_up = bool(self.model.new_heads and settings.head_steps and origin.sha256)
        self._kept: list[Checkpoints] = []

    def chosen(self) -> dict[str, object]:
        """Return what follows from the corpus and the encoder."""
        return {
            "pretraining.rounds": len(self.rounds.rounds),
            "pretraining.rows": sum(own.rows for own in self.rounds.rounds),
            "pretraining.new_heads": "yes" if self.model.new_heads else "no",
        }

    def run(self, checkpoints: str, seconds: float, identity: Mapping[str, str]) -> Outcome:
        """Train, and return the outcome of the last phase.

        Args:
            checkpoints: Where they go; empty: there are none.
            seconds: How often one is written.
            identity: See Checkpoints.
        """
        if self.warms_up:
            self._warm_up(checkpoints, seconds, identity)
        asked = examples.blanks(self.stores[HELD_OUT], self.tokens, max(self.settings.sequence_lengths))
        task = PretrainingTask(self.model, self.replicated, self.masker, self.rounds, self._curve_rows())
        found = judge(task.judge, self.masker, self.held_out, "evaluating the encoder before")
        filled = examples.filled(self.model.words, self.tokens, asked)
        curve: list[dict[str, float]] = []

        def log(values: dict[str, float], number: int) -> None:
            self.log_metrics(values, number)
            if "val_mlm_loss" in values:
                curve.append({"round": float(number), **values})

        recipe = self._recipe(self.settings, len(self.rounds.rounds), self.settings.learning_rate)
        kept = self._checkpoints(checkpoints, identity, "all")
        outcome = Trainer(task, recipe, log, self.devices, kept, seconds).run()
        self.after = judge(task.judge, self.masker, self.held_out, "evaluating the encoder after")
        self.before = Before(found, self.after.metrics(), filled, asked, curve)
        return outcome

    def clear(self) -> None:
        """Remove the checkpoints, after all has succeeded."""
        for own in self._kept:
            own.clear()

    def _warm_up(self, checkpoints: str, seconds: float, identity: Mapping[str, str]) -> None:
        """Train the new heads alone; a run that resumes later repeats what no checkpoint has, to the same weights."""
        first = {"sequence_lengths": self.settings.sequence_lengths[:1], "shares": []}
        own = self.settings.model_copy(update=first | {"steps": self.settings.head_steps, "evaluations": 1})
        if not own.batch_size:
            own = own.model_copy(update={"batch_tokens": min(own.batch_tokens, _HEAD_TOKENS)})
        print(f"the encoder brings no heads: {own.steps} steps for new ones first, with the encoder still", flush=True)
        rounds = Rounds(self.stores[TRAIN], own, self.tokens.end)
        task = PretrainingTask(self.model, self.replicated, self.masker, rounds, self._curve_rows(), still=True)
        plain = own.model_copy(update={"freeze_embeddings": False, "freeze_layers": 0, "layer_decay": 1.0})
        kept = self._checkpoints(checkpoints, identity, "heads")

        def log(values: dict[str, float], number: int) -> None:
            self.log_metrics({f"heads/{name}": value for name, value in values.items()}, number)

        Trainer(task, self._recipe(plain, 1, _HEAD_RATE), log, self.devices, kept, seconds).run()

    def _checkpoints(self, folder: str, identity: Mapping[str, str], phase: str) -> Checkpoints | None:
        if not folder or not self.devices.chief:
            return None
        self._kept.append(Checkpoints(folder, {**identity, "phase": phase}))
        return self._kept[-1]

    def _curve_rows(self) -> TokenRows:
        return held_out_rows(self.stores[HELD_OUT], self.settings, self.tokens.end, _CURVE_ROWS)

    def _recipe(self, settings: Pretraining, rounds: int, rate: float) -> Recipe:
        """Return `settings` as the trainer takes them."""
        names = "accumulate", "layer_decay", "freeze_embeddings", "freeze_layers", "precision", "auto_batch"
        shared = {name: getattr(settings, name) for name in names}
        others = {"batch_tokens": settings.token_budget, "head_rate": 1.0}
        training = Training.model_validate(shared | others)
        own = settings.batch_size, rate, settings.warmup, settings.weight_decay, settings.seed
        return Recipe("berth", rounds, *own, training)
