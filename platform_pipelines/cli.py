"""`platform-pipelines`: use and look at what is released. `dg` does everything that builds it.

Exit codes: 0 done; 1 an error that will come again; 2 wrong usage or configuration; 3 nothing
found, or the answer is not known; 4 `doctor` or `apis` found something broken; 10 the gate fails;
11 the gate is undecided; 75 try again later.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from platform_pipelines.compute.confinement import hide_from_peers
from platform_pipelines.errors import ConfigurationError, PlatformError
from platform_pipelines.settings import load_settings

if TYPE_CHECKING:
    from platform_pipelines.core.road.evidence import Evidence
    from platform_pipelines.core.road.gate import Verdict
    from platform_pipelines.stages.knowledge_base.gating import Gated

EXIT_ERROR, EXIT_USAGE, EXIT_NOTHING, EXIT_BROKEN, EXIT_TRY_AGAIN = 1, 2, 3, 4, 75
EXIT_FAIL, EXIT_UNDECIDED = 10, 11
CODE_OF_VERDICT = {"pass": 0, "fail": EXIT_FAIL, "undecided": EXIT_UNDECIDED}

app = typer.Typer(
    name="platform-pipelines", help=__doc__, no_args_is_help=True, add_completion=False,
    rich_markup_mode=None, pretty_exceptions_enable=False,
)  # fmt: skip

store_app = typer.Typer(no_args_is_help=True, help="The platform's store: whose it is.")
app.add_typer(store_app, name="store")

Name = Annotated[str, typer.Argument(help="the knowledge base, e.g. handbook")]
Tenant = Annotated[str, typer.Option(help="whose documents may be searched")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object instead of text")]
K = Annotated[int, typer.Option("-k", min=1, max=100, help="how many chunks")]


def _not_blank(text: str) -> str:
    """White space alone would be embedded, and find whatever lies nearest to nothing."""
    if not text.strip():
        raise typer.BadParameter("is empty")
    return text


def _say(message: str) -> None:
    typer.echo(message, err=True)


def _emit(record: dict[str, Any]) -> None:
    typer.echo(json.dumps(record, ensure_ascii=False, indent=2))


def _say_also(places: Iterable[str]) -> None:
    if named := ", ".join(places):
        typer.echo(f"      also in {named}")


@app.command()
def search(
    name: Name,
    text: Annotated[str, typer.Argument(help="what to look for", callback=_not_blank)],
    k: K = 5,
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Find chunks in what is released: document, page or heading, score, revision."""
    from platform_pipelines.serving import direct

    found = direct.search(load_settings(), name, text, k=k, tenant=tenant, progress=_say)
    if as_json:
        _emit(found)
    else:
        for number, hit in enumerate(found["hits"], start=1):
            near = "-" if hit["similarity"] is None else f"{hit['similarity']:.3f}"
            score = f"{hit['score']:.4f}"
            typer.echo(f"{number}. {hit['citation']}   (score {score}, similarity {near})")
            typer.echo("   " + " ".join(hit["text"].split())[:300])
            _say_also(one["citation"] for one in hit.get("also", ()))
        typer.echo(f"revision {found['revision']}")
    raise typer.Exit(0 if found["hits"] else EXIT_NOTHING)


@app.command()
def ask(
    name: Name,
    question: Annotated[
        str, typer.Argument(help="a question, in Korean or English", callback=_not_blank)
    ],
    k: K = 10,
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Answer from the released documents only, with citations, or say that it is not known."""
    from platform_pipelines.serving import direct

    answer = direct.ask(load_settings(), name, question, k=k, tenant=tenant, progress=_say)
    if as_json:
        _emit(answer)
    elif answer["known"]:
        typer.echo(answer["text"])
        for citation in answer["citations"]:
            typer.echo(f"  [{citation['number']}] {citation['citation']}")
            _say_also(citation.get("also", ()))
    else:
        typer.echo("I do not know: the documents do not hold the answer. / 문서에 답이 없습니다.")
        for place in answer["nearest"]:
            typer.echo(f"  nearest: {place}")
    if not as_json:
        if answer["note"]:
            typer.echo(f"note: {answer['note']}")
        typer.echo(f"revision {answer['revision']}")
    raise typer.Exit(0 if answer["known"] else EXIT_NOTHING)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="where to listen")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8400,
) -> None:
    """Answer over HTTP, OpenAI's protocol and MCP; follows each release without a restart."""
    from platform_pipelines.serving.server import serve as run_server

    run_server(load_settings(), host=host, port=port, progress=_say)


class Rows(StrEnum):
    """What feedback becomes."""

    GOLDEN = "golden"
    TRAINING = "training"


@app.command()
def feedback(
    name: Name,
    rows: Annotated[Rows, typer.Option("--as", help="questions, or chats to learn from")] = (
        Rows.GOLDEN
    ),
    langfuse: Annotated[bool, typer.Option(help="read what was said in Langfuse first")] = False,
    output: Annotated[Path | None, typer.Option(help="a file, instead of standard output")] = None,
) -> None:
    """Candidates of what people said of answers: JSON Lines, for a person to accept."""
    from platform_pipelines.core.knowledge_base import feedback as known
    from platform_pipelines.stages.knowledge_base.feedback import read_feedback
    from platform_pipelines.stages.knowledge_base.langfuse_feedback import read_back
    from platform_pipelines.stages.knowledge_base.live import live_entry

    settings = load_settings()
    store, _ = live_entry(settings, name)
    if langfuse:
        _tell_left(read_back(settings, name, progress=_say)[1])
    of = known.golden_candidates if rows is Rows.GOLDEN else known.training_candidates
    _write_rows(of(read_feedback(store)), output)


def _tell_left(left: Mapping[Any, int]) -> None:
    for why, number in left.items():
        _say(f"left out {number}: {why}")


@app.command()
def draft(
    name: Name,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="how many questions")] = 20,
    output: Annotated[Path | None, typer.Option(help="a file, instead of standard output")] = None,
) -> None:
    """Golden candidates that a language model drafts from what is released, for review."""
    from platform_pipelines.stages.knowledge_base.golden_drafts import draft_candidates

    found = draft_candidates(load_settings(), name, count=count, progress=_say)
    _tell_left(found.left)
    _write_rows(found.rows, output)


def _write_rows(rows: Sequence[dict[str, Any]], output: Path | None) -> None:
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
    raise typer.Exit(0 if rows else EXIT_NOTHING)


class ReportFormat(StrEnum):
    """How a verdict is written."""

    MARKDOWN = "markdown"
    JSON = "json"
    JUNIT = "junit"
    HTML = "html"


@app.command()
def gate(
    name: Name,
    form: Annotated[ReportFormat, typer.Option("--format", help="of the report")] = (
        ReportFormat.MARKDOWN
    ),
    output: Annotated[Path | None, typer.Option(help="a file, instead of standard output")] = None,
    language: Annotated[str, typer.Option(help="en or ko; Markdown and HTML")] = "en",
) -> None:
    """The verdict on the newest candidate, judged again now: 0 pass, 10 fail, 11 undecided."""
    from platform_pipelines.stages.knowledge_base.gating import gate_now
    from platform_pipelines.stages.road import reporting

    if language not in reporting.WORDS:
        raise typer.BadParameter("en or ko", param_hint="--language")
    found = gate_now(load_settings(), name)
    text = {
        ReportFormat.MARKDOWN: lambda: reporting.markdown_report(
            *_both(found), language, cost=found.cost
        ),
        ReportFormat.HTML: lambda: reporting.html_report(*_both(found), language, cost=found.cost),
        ReportFormat.JSON: lambda: reporting.json_report(*_both(found), found.cost),
        ReportFormat.JUNIT: lambda: reporting.junit_report(*_both(found)),
    }[form]()
    if output is None:
        typer.echo(text.rstrip("\n"))
    else:
        output.write_text(text, encoding="utf-8")
    raise typer.Exit(CODE_OF_VERDICT[str(found.verdict.status)])


def _both(found: "Gated") -> tuple["Evidence", "Verdict"]:
    return found.evidence, found.verdict


@app.command()
def releases(
    name: Name,
    limit: Annotated[int, typer.Option("-n", min=1, help="how many, newest first")] = 20,
    as_json: AsJson = False,
) -> None:
    """The release log, newest first: what is live, what was before, and why."""
    from platform_pipelines.core.road.releases import entry_record
    from platform_pipelines.stages.knowledge_base.live import live_entry
    from platform_pipelines.stages.road.connect import release_log

    store, _ = live_entry(load_settings(), name)
    entries = list(reversed(release_log(store, name).entries(limit=limit)))
    if as_json:
        _emit({"releases": [entry_record(entry) for entry in entries]})
        return
    for number, entry in enumerate(entries):
        live = "live" if number == 0 else "    "
        typer.echo(
            f"{live} {entry.sequence:>4} {entry.action:<8} {entry.revision[:12]} {entry.at} "
            f"{entry.actor} {entry.reason}".rstrip()
        )


@app.command()
def approve(
    name: Name,
    revision: Annotated[str, typer.Argument(help="the held candidate, or how its digest begins")],
    reason: Annotated[str, typer.Option(help="why; it stands in the release log")],
) -> None:
    """Lift the hold on a candidate that lost many documents; the next refresh releases it."""
    from platform_pipelines.gateways.clock import SystemClock
    from platform_pipelines.stages.knowledge_base import approving

    approval = approving.approve(
        load_settings(), name, revision, reason=reason, clock=SystemClock()
    )
    typer.echo(f"approved {approval.revision[:12]} as {approval.actor}: {approval.reason}")
    typer.echo(f"release it: dg launch --job {name}_refresh")


@app.command()
def doctor(
    provision: Annotated[
        bool,
        typer.Option(
            "--provision",
            help="first make the local model's files if they are missing or damaged "
            "(a few seconds, 100 MB)",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Look at configuration, store, Milvus, models, disk and versions; name each remedy."""
    from platform_pipelines.stages.knowledge_base import doctor as stage

    settings = load_settings()
    if provision:
        stage.provision(settings, _say)
    findings: list[stage.Finding] = []
    for finding in stage.examine(settings):  # as they come: a dead server takes its time
        findings.append(finding)
        if not as_json:
            typer.echo(f"{finding.health:<8} {finding.part}: {finding.seen}")
            if finding.remedy and finding.health is not stage.Health.OK:
                typer.echo(f"         what to do: {finding.remedy}")
    broken = any(f.health is stage.Health.BROKEN for f in findings)
    if as_json:
        _emit({"healthy": not broken, "findings": [asdict(f) for f in findings]})
    raise typer.Exit(EXIT_BROKEN if broken else 0)


@app.command()
def apis(
    components: Annotated[
        list[str], typer.Argument(help="KIND/NAME of each, e.g. model_catalogue/models")
    ],
    as_json: AsJson = False,
) -> None:
    """Check what was rendered against the APIs in use (PLATFORM_DEFINITIONS); name replacements."""
    from platform_pipelines.stages.road.api_drift import api_drift, in_use_here, rendered_revision

    settings = load_settings()
    in_use = in_use_here(settings)
    found = [
        {"component": name, "object": str(one.key), "field": one.field, "told": one.message}
        for name in components
        for one in api_drift(rendered_revision(settings, name), in_use)
    ]
    if as_json:
        _emit({"definitions": len(in_use.definitions), "problems": found})
    else:
        for one in found:
            typer.echo(f"{one['component']}: {one['object']} {one['field']}: {one['told']}")
        known = f"{len(in_use.definitions)} definitions, {len(in_use.flags)} programs"
        typer.echo(f"{len(found)} problems; {known} in use are known")
    raise typer.Exit(EXIT_BROKEN if found else 0)


@store_app.command()
def identity(
    new: Annotated[
        bool,
        typer.Option(
            "--new",
            help="this store is a copy: it takes an identity of its own, and never touches what "
            "the original made",
        ),
    ] = False,
    moved: Annotated[
        bool,
        typer.Option(
            "--moved",
            help="this store is the original at a new address, or its backup, and no other one "
            "writes: it keeps its identity",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Whose collections this store's runs may touch; without an option, only look."""
    from platform_pipelines.gateways.clock import SystemClock
    from platform_pipelines.stages.road.ownership import known_identity, take_identity

    if new and moved:
        raise typer.BadParameter("--new and --moved exclude each other")
    settings = load_settings()
    if new or moved:
        found = take_identity(settings, SystemClock(), moved=moved)
    else:
        found = known_identity(settings)
    if found is None:
        _say("no identity yet: the first run makes it")
        raise typer.Exit(EXIT_NOTHING)
    if as_json:
        _emit(json.loads(found.to_json()))
        return
    copied = f", a copy of {found.copy_of}" if found.copy_of else ""
    typer.echo(f"owner {found.owner}{copied}, of {found.url}, since {found.made_at}")


def main() -> None:
    """The program: typed errors become one message and an exit code, never a traceback."""
    hide_from_peers()
    sys.exit(run(app))


def run(program: Callable[[], object]) -> int:
    """Run the program; the exit code of what happened."""
    try:
        program()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_ERROR
    except PlatformError as error:
        _say(f"{type(error).__name__}: {error}")
        if isinstance(error, ConfigurationError):
            return EXIT_USAGE
        return EXIT_ERROR if error.terminal else EXIT_TRY_AGAIN
    return 0
