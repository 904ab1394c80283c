"""A metrics page in Prometheus' text format, as numbers."""

import re
from collections.abc import Mapping

Series = dict[str, list[tuple[Mapping[str, str], float]]]

_LINE = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?")
_LABEL = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')


def parse_metrics(text: str) -> Series:
    """Name -> (labels, value) each. Lines that are none are left out, `_created` gauges too."""
    series: Series = {}
    for line in text.splitlines():
        found = None if line.startswith("#") else _LINE.fullmatch(line.strip())
        if found is None or found[1].endswith("_created"):
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        series.setdefault(found[1], []).append((dict(_LABEL.findall(found[2] or "")), value))
    return series
