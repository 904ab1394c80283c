"""The machine's clock."""

from platform_pipelines.gateways.clock import SystemClock


def test_the_system_clock_is_aware_and_does_not_wait_for_nothing() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() is not None
    before = clock.monotonic()
    clock.sleep(0)
    clock.sleep(-1)
    assert clock.monotonic() >= before
