"""Step 2: training rows out of passing tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.dataset.choices import Equality, Length, OutputFormat, Register, Typos
from core.wizard.shared import RETRIEVAL_ANSWERS, SharedAnswers, model_files
from core.wizard.step import Context, Outputs


class DatasetAnswers(BaseModel):
    """How training rows are made."""

    model_config = ConfigDict(extra="forbid")

    bring_in: Path | None = Field(
        None,
        title="Prepared folder",
        description="A folder that `rasa llm finetune prepare-data` wrote: its rows and its split are taken over and nothing is prepared.",
        json_schema_extra={"advanced": True},
    )
    num_rephrases: int = Field(
        10,
        ge=0,
        le=49,
        title="Rephrasings",
        description="Other wordings tried for each user message; those that change the meaning are dropped. "
        "2 are often enough and the frugal choice, 0 takes the tests as they are.",
        json_schema_extra={"unit": "per message"},
    )
    answer_rephrases: int | None = Field(
        None,
        ge=0,
        le=49,
        title="Rephrasings of answers",
        description="Most other wordings kept for messages that only answer a question: the many, easy ones. Empty keeps all.",
        json_schema_extra={"unit": "per message", "advanced": True},
    )
    rephraser: str = Field(
        "auto",
        title="Rephraser",
        description="Where other wordings come from: llm (a language model), the path of a "
        "paraphrase file of your own, or none. auto takes llm if the coverage review took it, else none.",
    )
    rephrase_model: str | None = Field(
        None,
        title="Model that rephrases",
        description="As provider/model, such as openai/gpt-4o-mini. Empty takes the model the assistant is configured with, "
        "which also checks the wordings.",
        json_schema_extra={"advanced": True},
    )
    rephrase_address: str | None = Field(
        None,
        title="Its address",
        description="Where the model that rephrases is served, if not at its provider's: http://127.0.0.1:8000/v1.",
        json_schema_extra={"advanced": True},
    )
    rephrase_key_variable: str | None = Field(
        None,
        title="Its key",
        description="Environment variable (or keyring entry) that holds the key; empty for the provider's usual one.",
        json_schema_extra={"advanced": True},
    )
    rephrase_template: Path | None = Field(
        None,
        title="Prompt for rephrasing",
        description="A jinja2 file of your own in the place of ours.",
        json_schema_extra={"advanced": True},
    )
    speech: Register = Field(
        "mixed",
        title="Manner of speech",
        description="How people talk in the wordings a language model gives: mixed, formal or casual.",
        json_schema_extra={"advanced": True},
    )
    length: Length = Field(
        "mixed",
        title="Length",
        description="Of the wordings, against the message: mixed, short or long.",
        json_schema_extra={"advanced": True},
    )
    typos: Typos = Field(
        "few",
        title="Typos",
        description="none, few (capitals and punctuation) or many (slips of hasty typing).",
        json_schema_extra={"advanced": True},
    )
    languages: str = Field(
        "",
        title="Languages",
        description="Languages to spread the wordings over, with commas between. Empty for that of each message.",
        json_schema_extra={"advanced": True},
    )
    other_values: int = Field(
        0,
        ge=0,
        le=20,
        title="Other values",
        description="Conversations made of each test with values that other tests give; kept if they pass. They cost nothing.",
        json_schema_extra={"unit": "per test", "advanced": True},
    )
    hard_cases: int = Field(
        0,
        ge=0,
        le=500,
        title="Hard cases",
        description="Conversations of each kind made of tests: cancelled mid-flow, a value corrected, off topic, unclear between "
        "similar flows. In English; rephrased and checked as others.",
        json_schema_extra={"unit": "of each kind", "advanced": True},
    )
    decisions: Path | None = Field(
        None,
        title="Decisions",
        description="File with wordings accepted, rejected and edited by hand; `calmtune dataset accept|reject|edit` writes it.",
        json_schema_extra={"advanced": True},
    )
    train_fraction: float = Field(
        0.8,
        gt=0,
        le=1,
        title="Share for training",
        description="Of the rows of tests that are not set aside, the share to train on; the rest is for validation. Tests stay whole. "
        "1 keeps all for training, which leaves nothing to evaluate on.",
    )
    golden_fraction: float = Field(
        0.1,
        ge=0,
        lt=1,
        title="Share set aside",
        description="Share of the tests that no model ever learns from: the golden set, for the production model to pass. It is chosen "
        "once in a session and then stays. 0 for none; then nothing unseen is left to judge the production model by.",
    )
    golden: Path | None = Field(
        None,
        title="Golden tests",
        description="A file of your own that names the tests to set aside (golden_tests: a list of file::name). Empty: calmtune chooses.",
        json_schema_extra={"advanced": True},
    )
    output_format: OutputFormat = Field(
        "instruction",
        title="Form of the rows",
        description="instruction writes prompt and completion, conversational a list of messages. "
        "The trainer takes both.",
    )
    history_turns: int | None = Field(
        None,
        ge=0,
        title="History in prompts",
        description="How many earlier messages of the user a prompt shows, with the answers to them. Empty for all. "
        "The model is served with the same.",
        json_schema_extra={"unit": "messages"},
    )
    check: Literal["auto", "llm", "none"] = Field(
        "auto",
        title="Check by a language model",
        description="llm asks the model the assistant is configured with whether a wording is understood as the message was. auto does so "
        "where that model gave the commands, and for wordings of a language model where its key is at hand. none rejects "
        "only lost values and repetitions.",
        json_schema_extra={"advanced": True},
    )
    equality: Equality = Field(
        "names",
        title="Same meaning",
        description="When a language model checks a wording: strict wants the same commands and values, names lets the "
        "words taken for a free-text slot differ.",
    )
    budget_usd: float | None = Field(
        None,
        ge=0,
        title="Budget",
        description="The run stops before language models cost more; what was answered by then is kept. Empty for no limit.",
        json_schema_extra={"unit": "US dollars", "cosmetic": True},
    )
    batch: bool = Field(
        False,
        title="Check in batches",
        description="Wordings are checked through OpenAI's Batch API: half the price, answers within a day.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )
    concurrency: int = Field(
        8,
        ge=1,
        le=256,
        title="Calls at a time",
        description="Most questions a language model is asked at once; fewer while it refuses or slows down.",
        json_schema_extra={"cosmetic": True},
    )
    requests_per_minute: int | None = Field(
        None,
        ge=1,
        title="Requests a minute",
        description="What your key is granted, of each model. Empty when there is no limit.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )
    tokens_per_minute: int | None = Field(
        None,
        ge=1,
        title="Tokens a minute",
        description="What your key is granted, of each model, prompts and answers together. Empty when there is no limit.",
        json_schema_extra={"cosmetic": True, "advanced": True},
    )


class DatasetStep:
    """Annotates passing tests, rephrases them, makes rows and splits these by whole tests."""

    id: ClassVar[str] = "dataset"
    version: ClassVar[int] = 4
    title: ClassVar[str] = "Data preparation"
    purpose: ClassVar[str] = "Turn passing tests into rows to train and validate on, in more words than the tests have."
    upstream: ClassVar[tuple[str, ...]] = ("coverage",)
    shared: ClassVar[tuple[str, ...]] = ("tests", "dialect", "patterns", "engine", *RETRIEVAL_ANSWERS, "seed")
    answers: ClassVar[type[BaseModel]] = DatasetAnswers

    def reads(self, shared: SharedAnswers, answers: DatasetAnswers) -> Sequence[Path]:
        named = [Path((shared.tests or "").partition("::")[0]), Path(answers.rephraser)]
        named += [
            path
            for path in (answers.rephrase_template, answers.decisions, answers.golden, answers.bring_in)
            if path is not None
        ]
        return [shared.assistant, *model_files(shared), *(path for path in named if path != Path() and path.exists())]

    def estimate(self, context: Context) -> str:
        """What asking language models will take, in words; "" when none is asked."""
        from core.wizard.work import dataset

        return dataset.estimate(context)

    async def run(self, context: Context) -> Outputs:
        """Raises StepFailed when nothing can be learnt, ProblemsError, UsageError, ProviderError."""
        from core.wizard.work import dataset

        return await dataset.run(context)


STEP = DatasetStep()
