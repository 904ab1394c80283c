"""What programs in use know: the flags of their own help, the series of their own metrics page."""

import re
from collections.abc import Iterator, Sequence

from platform_pipelines.core.road.manifest_policies import pod_of
from platform_pipelines.core.road.manifests import Manifest
from platform_pipelines.core.road.promql import queries_of

_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_SERIES = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*:[a-zA-Z0-9_:]+")
_SUFFIXES = ("_bucket", "_sum", "_count", "_total", "_created")


def flags_in(help_text: str) -> frozenset[str]:
    """The flags that a program's help names; argparse's `--no-` form stands beside each."""
    return frozenset(_FLAG.findall(help_text))


def unknown_flags(
    manifest: Manifest, image: str, known: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Flags of containers whose image has `image` in its name that the program does not know."""
    pod = pod_of(manifest)
    if pod is None:
        return
    path, spec = pod
    for container in spec.get("containers") or ():
        if image not in str(container.get("image", "")):
            continue
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        for word in map(str, words):
            flag = word.partition("=")[0]
            if _FLAG.fullmatch(flag) and flag not in known:
                at = f"{path}.containers[{container.get('name')}].args"
                yield at, f"{image} has no {flag}"


def series_on(page: str) -> frozenset[str]:
    """The names of series on a metrics page, without what histograms and counters add."""
    names = (line.split("{")[0].split(" ")[0] for line in page.splitlines() if line[:1] != "#")
    return frozenset(_bare(name) for name in names if name)


def unknown_series(
    manifests: Sequence[Manifest], known: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Series of the page's own families (`vllm:…`) that the page does not have."""
    families = {name.partition(":")[0] for name in known if ":" in name}
    for query in queries_of(manifests):
        for name in dict.fromkeys(_SERIES.findall(query.expression)):
            if name.partition(":")[0] in families and _bare(name) not in known:
                yield query.where, f"{name} is on no page of a server"


def _bare(name: str) -> str:
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name
