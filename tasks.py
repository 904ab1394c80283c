"""Everything that a person or CI does with this checkout, with Python's standard library alone.

    python3 tasks.py demo     install what is needed, run the main job, ask the result a question
    python3 tasks.py test     install what is needed, run all tests

`make` only calls this. The environment is made in .venv from the hash-pinned locks in
requirements/, and made again when a lock changes.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
HOME = ROOT / ".platform"
DAGSTER_HOME = HOME / "dagster"
MINIMUM_PYTHON = (3, 11)
CLASSES = ["code", "parse", "embed", "evaluation"]  # of images, by what they are exposed to
INTERRUPTED = 130  # what a shell gives a program that Ctrl-C ended
QUESTIONS = (
    "How do I connect a golden set to my knowledge base?",
    "CI에서 갱신을 실행하려면 어떤 명령을 쓰나요?",
)


def say(text: str) -> None:
    """One line of progress."""
    print(f"==> {text}", flush=True)


def variables(**extra: str) -> dict[str, str]:
    """The environment of every program that is run here.

    Compiled modules are kept, whatever this shell says: without them each process, and a run starts
    several, compiles its libraries again (`import dagster` 2.6 instead of 1.3 s).
    """
    here = {**os.environ, "DAGSTER_HOME": str(DAGSTER_HOME), "VIRTUAL_ENV": str(VENV), **extra}
    here["PATH"] = f"{BIN}{os.pathsep}{here.get('PATH', '')}"
    here.pop("PYTHONDONTWRITEBYTECODE", None)
    return here


def run(*command: str, check: bool = True, cwd: Path = ROOT, **extra: str) -> int:
    """A program of the environment, in the foreground; its exit code."""
    environment = variables(**extra)
    program = shutil.which(command[0], path=environment["PATH"]) or command[0]
    child = subprocess.Popen([program, *command[1:]], cwd=cwd, env=environment)
    try:
        code = child.wait()
    except KeyboardInterrupt:  # the terminal sent it to the program too: let it end in order
        child.wait()
        raise
    if check and code != 0:
        sys.exit(code)
    return code


def environment(kind: str) -> None:
    """Make .venv hold what `requirements/<kind>.txt` pins, and this checkout."""
    if sys.version_info < MINIMUM_PYTHON:
        sys.exit(f"Python {sys.version.split()[0]} is too old; 3.11 or newer is needed")
    lock = ROOT / "requirements" / f"{kind}.txt"
    bootstrap = ROOT / "requirements" / "bootstrap.txt"
    pins = b"".join(p.read_bytes() for p in (lock, bootstrap, ROOT / "pyproject.toml"))
    stamp, wanted = VENV / f".{kind}", hashlib.sha256(pins).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    started = time.monotonic()
    say(f"installing {lock.relative_to(ROOT)} into .venv (once; some minutes with downloads)")
    if not (BIN / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    python = str(BIN / "python")
    quiet = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    subprocess.run([*quiet, "--require-hashes", "-r", str(bootstrap)], check=True)
    if not _install_fast(python, lock):
        say("the fast installer could not reach the packages; trying pip")
        # --no-deps: the lock is complete, and pip 23 refuses extras (gql[requests]) with hashes
        subprocess.run([*quiet, "--no-deps", "--require-hashes", "-r", str(lock)], check=True)
    subprocess.run([*quiet, "--no-deps", "--no-build-isolation", "-e", str(ROOT)], check=True)
    stamp.write_text(wanted)
    say(f"installed in {time.monotonic() - started:.0f} s")


def _install_fast(python: str, lock: Path) -> bool:
    command = [
        str(BIN / "uv"), "pip", "install", "--python", python, "--system-certs",
        "--require-hashes", "-r", str(lock),
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode == 0


def dagster_home() -> None:
    """Where Dagster keeps its runs, with the instance settings of this repository."""
    HOME.mkdir(mode=0o700, exist_ok=True)
    DAGSTER_HOME.mkdir(exist_ok=True)
    shutil.copyfile(ROOT / "deploy" / "dagster.yaml", DAGSTER_HOME / "dagster.yaml")


def released(name: str) -> str:
    """The live release of a knowledge base as one line, or nothing."""
    command = [str(BIN / "platform-pipelines"), "releases", name, "-n", "1"]
    found = subprocess.run(
        command, cwd=ROOT, env=variables(), capture_output=True, text=True, check=False
    )
    return found.stdout.strip() if found.returncode == 0 else ""


def demo() -> None:
    """The main job on the shipped documents, then two questions to what it released."""
    started = time.monotonic()
    environment("runtime")
    dagster_home()
    before = released("handbook")
    say("dg launch --job handbook_refresh")
    run("dg", "launch", "--job", "handbook_refresh")
    after = released("handbook")
    say("released" if after != before else "nothing changed; still released")
    print(after)
    for question in QUESTIONS:
        say(f'platform-pipelines ask handbook "{question}"')
        run("platform-pipelines", "ask", "handbook", question, check=False)
    say(f"done in {time.monotonic() - started:.0f} s. The web UI: make ui (or python3 tasks.py ui)")


def demo_model() -> None:
    """Train a small model, roll it out under load, refuse a worse one; ends its servers."""
    started = time.monotonic()
    environment("runtime")
    dagster_home()
    say("the environments of training, serving, registry and proxy are made at their first use")
    run(str(BIN / "python"), "demos/assistant/demo.py", PLATFORM_HOME=str(HOME))
    say(f"the model road took {time.monotonic() - started:.0f} s, installation included")


def demo_platform() -> None:
    """The shipped samples of every component, brought up once on this machine."""
    environment("runtime")
    dagster_home()
    say("the environments of the gateway and its small model are made at their first use")
    run(str(BIN / "python"), "demos/platform/demo.py", PLATFORM_HOME=str(HOME))


def test_models(arguments: list[str]) -> None:
    """The model road with real NeMo, MLflow, vLLM and Envoy (minutes, 9 GB of memory)."""
    environment("test")
    run(str(BIN / "python"), "-m", "pytest", "-m", "models", *arguments, **kept_environments())


def test_long(arguments: list[str]) -> None:
    """The sweeps that are too long for CI: every kind, not one of each (about an hour)."""
    environment("test")
    # Every heavy name stands here, else those that bear it too are left out.
    asked = "long and (long or answers or models or plane) and not cluster"
    run(str(BIN / "python"), "-m", "pytest", "-m", asked, *arguments, **kept_environments())


def kept_environments() -> dict[str, str]:
    """Where tests find the environments of worker classes, made at their first use."""
    folder = os.environ.get("PLATFORM_ENVIRONMENTS_DIR") or str(HOME)
    return {"PLATFORM_ENVIRONMENTS_DIR": folder}


def ui(arguments: list[str]) -> None:
    """The Dagster web UI on this checkout, or on what `demo-platform` made (`platform`)."""
    environment("runtime")
    dagster_home()
    command = ["dg", "dev", "--host", "127.0.0.1", "--port", "3000"]
    say("the web UI comes up at http://127.0.0.1:3000 (Ctrl-C ends it)")
    if "platform" not in arguments:
        run(*command, check=False)
    elif (HOME / "demo_platform").exists():
        run(*command, check=False, cwd=HOME / "demo_platform", PLATFORM_HOME=str(HOME))
    else:
        sys.exit("it is not there yet: make demo-platform")


def test(arguments: list[str]) -> None:
    """All tests; arguments go to pytest."""
    environment("test")
    run(str(BIN / "python"), "-m", "pytest", *arguments)


def test_answers(arguments: list[str]) -> None:
    """Answers judged by a language model through Ragas, against real servers; minutes."""
    environment("test")
    run(str(BIN / "python"), "-m", "pytest", "-m", "answers", *arguments)


def test_plane(arguments: list[str]) -> None:
    """What needs LiteLLM's proxy and a small model; their environments are kept under .platform."""
    environment("test")
    home = os.environ.get("PP_TEST_HOME") or str(HOME)
    run(str(BIN / "python"), "-m", "pytest", "-m", "plane", *arguments, PP_TEST_HOME=home)


def cluster_test(arguments: list[str], *, asked: str = "cluster") -> None:
    """What needs a Kubernetes API server with the custom resource definitions."""
    environment("test")
    config = os.environ.get("PP_TEST_KUBECONFIG") or os.environ.get("KUBECONFIG") or ""
    run(str(BIN / "python"), "-m", "pytest", "-m", asked, *arguments, PP_TEST_KUBECONFIG=config)


def cluster_test_long(arguments: list[str]) -> None:
    """The faults of a cluster that are too long for CI."""
    cluster_test(arguments, asked="cluster and long")


def image(arguments: list[str]) -> None:
    """Build an image: the context is made here, the builder is PP_BUILDER's words.

    `docker build -t NAME` by default; the words `{name}`, `{context}` and `{file}` are filled in.
    The second argument names a Dockerfile of deploy/images; a name with `{class}` in it, and no
    second argument, is that of all images that tasks run in.
    """
    environment("test")
    name = arguments[0] if arguments else "platform:dev"
    chosen = arguments[1:] or (CLASSES if "{class}" in name else ["platform"])
    context = HOME / "image"
    shutil.rmtree(context, ignore_errors=True)
    for part in ("requirements", "deploy/images"):
        shutil.copytree(ROOT / part, context / part)
    locks = ROOT / "platform_pipelines" / "environments"
    shutil.copytree(locks, context / "environments", ignore=shutil.ignore_patterns("*.py*"))
    wheel = [str(BIN / "python"), "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    run(*wheel, "-w", str(context / "dist"), str(ROOT))
    words = os.environ.get("PP_BUILDER") or "docker build -t {name} {context} -f {file}"
    for one in chosen:
        file = context / "deploy" / "images" / f"{one}.Dockerfile"
        tag = name.replace("{class}", one)
        run(*(word.format(name=tag, context=context, file=file) for word in words.split()))


def cluster_demo() -> None:
    """Install the chart on the cluster of KUBECONFIG, refresh the handbook over GraphQL, search."""
    cluster_test(["-v", "tests/cluster/test_chart.py"])


def lint() -> None:
    """What pre-commit and CI check."""
    environment("test")
    run("ruff", "format", "--check", ".")
    run("ruff", "check", ".")
    run("pyright", "--pythonpath", str(BIN / "python"))


def bench(arguments: list[str]) -> None:
    """Speed and memory, side by side with the floor and with peers."""
    environment("bench")
    run(str(BIN / "python"), "-m", "benchmarks", *arguments)


def clean() -> None:
    """Remove what the demo made; the environment stays."""
    shutil.rmtree(HOME, ignore_errors=True)


def main() -> None:
    """Read the command line and do one task."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "task",
        choices=[
            "demo", "demo-model", "demo-platform", "ui", "test", "test-models", "test-long",
            "test-plane", "test-answers", "cluster-test", "cluster-test-long",
            "cluster-demo", "image", "lint", "bench", "clean",
        ],
    )  # fmt: skip
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    chosen = parser.parse_args()
    with_arguments = {
        "ui": ui,
        "test": test,
        "test-models": test_models,
        "test-long": test_long,
        "test-answers": test_answers,
        "test-plane": test_plane,
        "cluster-test": cluster_test,
        "cluster-test-long": cluster_test_long,
        "image": image,
        "bench": bench,
    }
    alone = {
        "demo": demo,
        "demo-model": demo_model,
        "demo-platform": demo_platform,
        "lint": lint,
        "clean": clean,
        "cluster-demo": cluster_demo,
    }
    try:
        if chosen.task in with_arguments:
            with_arguments[chosen.task](chosen.arguments)
        else:
            alone[chosen.task]()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
