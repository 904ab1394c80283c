"""XXH64 with seed 0: what Envoy makes of a header by which it picks a weighted cluster.

So that whoever reads a log can say which side a cohort was sent to, without asking the proxy. From
the specification (Collet, "xxHash fast digest algorithm", 0.1.1).
"""

_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)  # fmt: skip
_MASK = (1 << 64) - 1
_STRIPE = 32


def cohort_hash(value: str) -> int:
    """64 bits of a cohort's UTF-8 bytes."""
    data = value.encode("utf-8", "surrogatepass")
    whole = len(data) - len(data) % _STRIPE if len(data) >= _STRIPE else 0
    found = (_stripes(data[:whole]) if whole else _P5) + len(data)
    return _avalanche(_tail(data[whole:], found & _MASK))


def _stripes(data: bytes) -> int:
    lanes = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
    for at in range(0, len(data), _STRIPE):
        for lane in range(4):
            word = int.from_bytes(data[at + 8 * lane : at + 8 * lane + 8], "little")
            lanes[lane] = _round(lanes[lane], word)
    found = sum(
        _turned(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)
    ) & _MASK  # fmt: skip
    for lane in lanes:
        found = ((found ^ _round(0, lane)) * _P1 + _P4) & _MASK
    return found


def _tail(data: bytes, found: int) -> int:
    while len(data) >= 8:
        found ^= _round(0, int.from_bytes(data[:8], "little"))
        found, data = (_turned(found, 27) * _P1 + _P4) & _MASK, data[8:]
    if len(data) >= 4:
        found ^= int.from_bytes(data[:4], "little") * _P1 & _MASK
        found, data = (_turned(found, 23) * _P2 + _P3) & _MASK, data[4:]
    for byte in data:
        found = _turned(found ^ (byte * _P5 & _MASK), 11) * _P1 & _MASK
    return found


def _round(lane: int, word: int) -> int:
    return _turned((lane + word * _P2) & _MASK, 31) * _P1 & _MASK


def _turned(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _MASK


def _avalanche(found: int) -> int:
    found = (found ^ (found >> 33)) * _P2 & _MASK
    found = (found ^ (found >> 29)) * _P3 & _MASK
    return found ^ (found >> 32)
