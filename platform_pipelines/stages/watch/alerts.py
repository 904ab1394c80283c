"""Which alerts fire now, as Prometheus itself says: since when, and with which labels."""

from dataclasses import dataclass

from platform_pipelines.core.watch.declaration import RollbackSpec
from platform_pipelines.errors import EvidenceError
from platform_pipelines.gateways.prometheus import TimeSeries


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert that fires. `since` (seconds of the epoch) names this one firing."""

    since: float
    labels: str


def firing(prometheus: TimeSeries, rule: RollbackSpec) -> Firing | None:
    """The longest firing of an alert, None while it is quiet or only pending.

    Raises:
        UnavailableError: Prometheus does not answer: nobody is rolled back on no word.
        EvidenceError: it refuses the query.
    """
    matchers = {"alertname": rule.alert, **rule.labels}
    text = ",".join(f'{name}="{_quoted(value)}"' for name, value in sorted(matchers.items()))
    query = (
        f'ALERTS_FOR_STATE{{{text}}} and ignoring(alertstate) ALERTS{{alertstate="firing",{text}}}'
    )
    found = prometheus.ask(query)
    if found.problem:
        raise EvidenceError(f"Prometheus refuses the query: {found.problem}", where=rule.alert)
    if not found.series:
        return None
    first = min(found.series, key=lambda one: one.value)
    shown = ", ".join(f"{k}={v}" for k, v in sorted(first.labels.items()) if k != "__name__")
    return Firing(first.value, shown)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
