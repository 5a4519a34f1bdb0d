"""Evidently's descriptors of texts by their names, for a daemon that must not import Evidently to know them: which can run in a
process without a network, which cannot and why, and which columns they read.

A test holds the names against evidently.descriptors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

DESCRIPTORS = frozenset(
    "BeginsWith Contains ContainsLink DoesNotContain EndsWith ExactMatch ExcludesWords IncludesWords IsValidJSON IsValidPython "
    "IsValidSQL ItemMatch ItemNoMatch JSONMatch JSONSchemaMatch NonLetterCharacterPercentage OOVWordsPercentage RegExp "
    "SentenceCount Sentiment TextLength TextMatch TriggerWordsPresent WordCount WordMatch WordNoMatch WordsPresence".split()
)
_ELSEWHERE = "compute it where the model runs, and send its value as a feature of kind numeric or category"
_LLM = "asks a language model over the network, which the process of a slow detector is kept from", _ELSEWHERE
_DOWNLOAD = "downloads a model, which the process of a slow detector is kept from", _ELSEWHERE
_FUNCTION = "takes a function of Python, which a config cannot hold", _ELSEWHERE
_TESTS = "is of Evidently's tests, and a score is judged by the daemon", "write thresholds: {evidently_...: {breach: ...}}"
REFUSED_DESCRIPTORS: dict[str, tuple[str, str]] = {  # name -> why, and what to do
    **dict.fromkeys(
        "BiasLLMEval BinaryClassificationLLMEval CompletenessLLMEval ContextQualityLLMEval CorrectnessLLMEval DeclineLLMEval "
        "FaithfulnessLLMEval LLMEval LLMJudge MulticlassClassificationLLMEval NegativityLLMEval OpenAI PIILLMEval "
        "ToxicityLLMEval".split(),
        _LLM,
    ),
    **dict.fromkeys(("BERTScore", "ContextRelevance", "HuggingFace", "HuggingFaceToxicity", "SemanticSimilarity"), _DOWNLOAD),
    **dict.fromkeys(("CustomColumnDescriptor", "CustomDescriptor"), _FUNCTION),
    **dict.fromkeys(("ColumnTest", "TestSummary"), _TESTS),
}
CORPORA = {"Sentiment": ("vader_lexicon",), "OOVWordsPercentage": ("wordnet", "words")}  # of NLTK; lemmatize: wordnet
_COLUMNS = ("column_name", "first_column", "second_column")


def columns_read(options: Mapping[str, Any]) -> list[str]:
    """The columns that a descriptor's arguments name."""
    several = options.get("columns")
    named = [options.get(name) for name in _COLUMNS] + (several if isinstance(several, list) else [])
    return [name for name in (*named, options.get("match_items")) if isinstance(name, str)]


def alias_of(descriptor: str, options: Mapping[str, Any]) -> str:
    """The name of the column that a descriptor becomes: its alias, or comment.text_length."""
    if isinstance(options.get("alias"), str):
        return str(options["alias"])
    return ".".join([*columns_read(options)[:1], snake(descriptor)])


def snake(name: str) -> str:
    """TextLength is text_length, IsValidJSON is is_valid_json."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def score_name(metric: str) -> str:
    """The score's name of a metric: ValueDrift is evidently_value_drift."""
    return "evidently_" + snake(metric)
