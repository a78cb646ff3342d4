"""Step 2: training rows out of passing tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.assistant.project import Assistant, load_assistant
from core.assistant.settings import Dialect
from core.dataset import output
from core.dataset.annotate import annotate
from core.dataset.conversation import AnnotatedConversation
from core.dataset.inventory import inventory, of_kind
from core.dataset.leakage import shared_messages
from core.dataset.paraphrases import Paraphrases, read_paraphrases
from core.dataset.points import contradictions
from core.dataset.prepare import Divided, divide, rephrase
from core.dataset.rephrase import LlmRephraser, Rephraser
from core.dataset.validation import Equality, Understanding
from core.dialogue.engine import Engine
from core.dialogue.generator import LlmCommandGenerator, endpoint_of
from core.dialogue.prompt import PromptRenderer
from core.e2e.cases import TestSuite
from core.e2e.reader import find_tests, read_tests
from core.e2e.recording import Recording, read_recording
from core.e2e.results import TestResult
from core.e2e.runner import run_tests
from core.errors import Interrupted, StepFailed, UsageError
from core.llm.cache import CompletionCache
from core.llm.spend import Meter, MeteredClient, in_words, preparation_usage, read_prices, tokens
from core.wizard.events import Cost, Notice, Progress
from core.wizard.shared import SharedAnswers
from core.wizard.step import Context, Gate, Outputs
