"""The hash that Envoy picks clusters by: the specification's own vectors, and others' results."""

import pytest

from platform_pipelines.core.road.cohort_hash import cohort_hash


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0xEF46DB3751D8E999),
        ("a", 0xD24EC4F1A98C6E5B),
        ("abc", 0x44BC2CF5AD770999),
        ("xxhash", 0x32DD38952C4BC720),
        ("models_ab:user-1", 0x0ED2B5BBAAD926D1),
        ("Call me Ishmael. Some years ago--never mind how long precisely-", 0x02A2E85470D6FD96),
        ("협력사:사용자-2", 0x86FA11C09C0FE6CF),
    ],
)
def test_it_is_xxh64_with_seed_0(text: str, expected: int) -> None:
    """Short, of one stripe and of more; a wrong tail shows at a length that is no multiple of 8."""
    assert cohort_hash(text) == expected
