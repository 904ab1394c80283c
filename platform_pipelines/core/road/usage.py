"""Usage: what an answer took, as every component that pays for answers writes it down."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from platform_pipelines.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answered request. What they cost is said by the prices of the day's page."""

    answer_id: str
    tenant: str
    model: str
    run: str  # of a pipeline; empty for a person's question
    input_tokens: int
    output_tokens: int


def usage_lines(usage: Iterable[Usage]) -> bytes:
    """JSON Lines."""
    return "".join(f"{json.dumps(asdict(one), ensure_ascii=False)}\n" for one in usage).encode()


def parse_usage(data: bytes, *, where: str) -> list[Usage]:
    """The inverse of `usage_lines`.

    Raises:
        IntegrityError: a line is no usage.
    """
    names = [field.name for field in fields(Usage)]
    found: list[Usage] = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            answer, tenant, model, run = (str(raw[name]) for name in names[:4])
            read, written = int(raw["input_tokens"]), int(raw["output_tokens"])
            found.append(Usage(answer, tenant, model, run, read, written))
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(
                f"no record of usage: {error}",
                where=f"{where}, line {number}",
                expected=", ".join(names),
                remedy="write the line again, or delete it: the cost page says which day it is of",
            ) from error
    return found
