"""The small world's servers are held to what a real vLLM says of itself."""

from pathlib import Path

from platform_pipelines.core.model_rollout.metrics_page import parse_metrics
from platform_pipelines.core.model_rollout.operations import E2E, ITL, TTFT, read_sample
from tests.stages.model_rollout.fake_world import Side

RECORDED = Path(__file__).parent / "vllm-0.32.0-metrics.txt"


def test_a_real_page_is_read() -> None:
    """63 whole answers in the recording, none refused, one running."""
    page = parse_metrics(RECORDED.read_text(encoding="utf-8"))
    sample = read_sample(page, at=0.0, routed=23, route_errors=0)
    assert sample is not None
    assert (sample.answered, sample.failed, sample.running) == (63.0, 0.0, 1.0)
    counts = [sample.latencies[name][-1][1] for name in (TTFT, ITL, E2E)]
    assert counts == [64.0, 786.0, 63.0]


def test_the_fake_says_nothing_that_the_real_one_does_not() -> None:
    """Names and labels; and it says all that is read."""
    real = parse_metrics(RECORDED.read_text(encoding="utf-8"))
    side = Side({})
    side.serve(10)
    fake = parse_metrics(side.page)
    assert set(fake) <= set(real)
    for name, rows in fake.items():
        known = {label for labels, _ in real[name] for label in labels}
        assert all(set(labels) <= known for labels, _ in rows), name
