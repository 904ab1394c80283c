"""Kubernetes' quantities as numbers. Source: Kubernetes, "Quantity" (apimachinery/resource)."""

from platform_pipelines.errors import ConfigurationError

_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40,
}  # fmt: skip


def cores_of(text: str) -> float:
    """Of CPU: "500m" is 0.5.

    Raises:
        ConfigurationError: not a quantity of CPU.
    """
    return _number(text.removesuffix("m"), text) / (1000 if text.endswith("m") else 1)


def bytes_of(text: str) -> int:
    """Of memory: "4Gi" is 4,294,967,296.

    Raises:
        ConfigurationError: not a quantity of memory.
    """
    digits = text.rstrip("kMGTi")
    unit = text[len(digits) :]
    if unit not in _UNITS:
        raise _wrong(text)
    return round(_number(digits, text) * _UNITS[unit])


def _number(digits: str, text: str) -> float:
    try:
        number = float(digits)
    except ValueError:
        raise _wrong(text) from None
    if not 0 <= number < float("inf"):
        raise _wrong(text)
    return number


def _wrong(text: str) -> ConfigurationError:
    return ConfigurationError(
        f"{text!r} is no quantity",
        expected="a number with m (CPU) or k, M, G, T, Ki, Mi, Gi, Ti (memory)",
        remedy="write it like 500m or 4Gi",
    )
