"""The locks of requirements/: what runs in pods is what runs here."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"


def pins(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))


def test_the_images_lock_pins_what_the_runtime_pins() -> None:
    """Another patch release of a parsing library is another parser: pods refused every task.

    The image's lock is made with the runtime's as constraints.
    """
    runtime, image = pins("runtime"), pins("image")
    assert {n: v for n, v in image.items() if runtime.get(n) != v} == {}


def test_the_image_can_serve() -> None:
    """A pod that answers needs what `serve` declares; the chart starts it from the same image."""
    serve = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {one.split(">")[0] for one in serve["optional-dependencies"]["serve"]}
    assert needed <= set(pins("image"))
