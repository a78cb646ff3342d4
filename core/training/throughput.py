"""Operations of a training run, which over a machine's speed are its time.

LoRA takes 4 operations a weight and unique token (forward 2, backward to the activations 2: frozen weights have no gradients), training all
weights 6, and both 2 more where activations are computed again. Logits are computed at labels only.
"""

from __future__ import annotations

from core.training.model_facts import ModelFacts
from core.training.plan import TrainingSettings
from core.training.row_tokens import RowSet, folded


def operations(
    facts: ModelFacts, tokens: float, labels: float, pairs: float = 0, checkpointed: float = 0, *, backward: bool = True,
    all_weights: bool = False,
) -> float:  # fmt: skip
    """Floating point operations of `tokens` unique tokens with `labels` of them learnt; `pairs` are those of their attention."""
    products = 2 * tokens * facts.body_parameters
    forward = products + 4 * facts.layers * facts.query_width * pairs
    head = 2 * labels * facts.head_parameters
    if not backward:
        return forward + head
    scores = 4 * facts.layers * facts.query_width * pairs  # both factors of an attention product have gradients
    gradients = products + head if all_weights else 0
    return forward * (2 + checkpointed) + scores + 2 * head + gradients


def validation_operations(
    facts: ModelFacts, settings: TrainingSettings, validation: RowSet | None, shares: bool
) -> float:
    """Operations of all validations."""
    if validation is None:
        return 0
    batch = folded(validation, settings.rows_per_step, shares)
    measured = min(settings.eval_rows or validation.rows, validation.rows)
    plain = validation.tokens / validation.rows * measured * settings.evaluations
    unique = plain / batch.ratio
    return operations(
        facts, unique, plain * batch.labels_per_token, unique * batch.pairs_per_token, backward=False
    )  # fmt: skip
