"""Which tier of models a request belongs to, by rules: the same code here and in LiteLLM's proxy.

This file is also mounted beside the proxy's configuration (`ClassifierPlugin`), so that it knows
nothing but the standard library. The first rule that matches decides.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast


class TierRules:
    """`rules` are mappings of `tier`, `any_of`, `minimum_words`; `otherwise` is a tier."""

    def __init__(self, rules: Sequence[Mapping[str, Any]], otherwise: str) -> None:
        self._rules = [
            (str(one["tier"]), _phrases(one.get("any_of") or ()), one.get("minimum_words"))
            for one in rules
        ]
        self._otherwise = otherwise

    def tier_of(self, text: str) -> str:
        """The tier of a question."""
        words = len(text.split())
        for tier, phrases, minimum in self._rules:
            is_long = minimum is None or words >= int(minimum)
            if is_long and (phrases is None or phrases.search(text)):
                return tier
        return self._otherwise

    async def classify(self, context: Any) -> str:
        """As LiteLLM's complexity router asks: by the last words of the user."""
        return self.tier_of(last_of_user(context.structured_messages))


def last_of_user(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the user's last message; parts that are no text are not read."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content: Any = message.get("content")
            parts = cast("list[Any]", content) if isinstance(content, list) else [content]
            return "\n".join(filter(None, map(_text, parts)))
    return ""


def _text(part: Any) -> str:
    text = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""


def _phrases(any_of: Sequence[str]) -> "re.Pattern[str] | None":
    """Latin words are found whole; Hangul also inside words, because endings are glued to them."""
    if not any_of:
        return None
    parts = [rf"\b{re.escape(one)}\b" if one.isascii() else re.escape(one) for one in any_of]
    return re.compile("|".join(parts), re.IGNORECASE)
