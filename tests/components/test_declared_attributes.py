"""What can be declared does something: every attribute of every component is read somewhere."""

import ast
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from platform_pipelines import components
from platform_pipelines.components.shared.declaring import Declaring
from platform_pipelines.core.agent.declaration import AgentSpec
from platform_pipelines.core.batch_inference.declaration import BatchInferenceSpec
from platform_pipelines.core.compute_fleet.declaration import FleetSpec
from platform_pipelines.core.cost.declaration import CostSpec
from platform_pipelines.core.experiment.declaration import ExperimentSpec
from platform_pipelines.core.fine_tune.declaration import FineTuneSpec
from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec
from platform_pipelines.core.knowledge_base.golden_declaration import GoldenSetSpec
from platform_pipelines.core.model_catalogue.declaration import ModelCatalogueSpec
from platform_pipelines.core.model_rollout.declaration import ModelRolloutSpec
from platform_pipelines.core.road.declarations import Spec
from platform_pipelines.core.tenant.declaration import TenantSpec
from platform_pipelines.core.vector_database.declaration import VectorDatabaseSpec
from platform_pipelines.core.watch.declaration import WatchSpec
from tests.house import Module, modules

SPECS: dict[str, type[Spec]] = {
    "Agent": AgentSpec,
    "BatchInference": BatchInferenceSpec,
    "ComputeFleet": FleetSpec,
    "Cost": CostSpec,
    "Experiment": ExperimentSpec,
    "FineTune": FineTuneSpec,
    "GoldenSet": GoldenSetSpec,
    "KnowledgeBase": KnowledgeBaseSpec,
    "ModelCatalogue": ModelCatalogueSpec,
    "ModelRollout": ModelRolloutSpec,
    "Tenant": TenantSpec,
    "VectorDatabase": VectorDatabaseSpec,
    "Watch": WatchSpec,
}
LAYERS = ("core", "stages", "components")  # those with packages of capabilities
EVERYBODYS = {"road", "shared", ""}  # gateways, compute and serving are of no capability


def fields(spec: type[BaseModel], path: str = "") -> Iterator[tuple[str, type[BaseModel], str]]:
    """The path, the schema and the name of every attribute, nested ones too."""
    for name, field in spec.model_fields.items():
        yield f"{path}{name}", spec, name
        for inner in models_in(field.annotation):
            yield from fields(inner, f"{path}{name}.")


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in get_args(annotation):
        yield from models_in(one)


def capability(module: str) -> str:
    """The package of a capability that a module is in, e.g. `tenant`; empty elsewhere."""
    parts = module.split(".")
    return parts[2] if len(parts) > 3 and parts[1] in LAYERS else ""


def reads(read: list[Module]) -> dict[str, set[str]]:
    """Attribute name -> the capabilities whose modules read one of that name."""
    found: dict[str, set[str]] = {}
    for module in read:
        for node in ast.walk(module.tree):
            if name := read_name(node):
                found.setdefault(name, set()).add(capability(module.name))
    return found


def read_name(node: ast.AST) -> str:
    """The attribute, or the key of a record (a worker reads the declaration as JSON)."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return ""


def unread(spec: type[BaseModel], found: dict[str, set[str]]) -> list[str]:
    """Attributes that no module reads which has to do with them."""
    missing: list[str] = []
    for path, owner, name in fields(spec):
        own = capability(owner.__module__)
        places = found.get(name, set())
        annotation = owner.model_fields[name].annotation
        one_choice = get_origin(annotation) is Literal and len(get_args(annotation)) == 1
        if not one_choice and not (places if own in EVERYBODYS else places & {own, *EVERYBODYS}):
            missing.append(path)
    return missing


@pytest.fixture(scope="module")
def found() -> dict[str, set[str]]:
    return reads([one for one in modules() if one.name.startswith("platform_pipelines.")])


def test_every_component_is_looked_at_here() -> None:
    """A new one is added above, or this fails."""
    kinds = {n for n, k in vars(components).items() if isinstance(k, type)}
    assert kinds == set(SPECS)


@pytest.mark.parametrize("component", SPECS)
def test_every_attribute_is_read_somewhere(component: str, found: dict[str, set[str]]) -> None:
    """One that does nothing is a promise that nobody keeps."""
    assert unread(SPECS[component], found) == []


@pytest.mark.parametrize("component", SPECS)
def test_what_can_be_declared_is_what_the_schema_has(component: str) -> None:
    """An attribute that only the component, or only the schema, knows is refused by the other."""
    declared: type[Declaring] = getattr(components, component)
    assert set(declared.model_fields) == set(SPECS[component].model_fields)
    assert all(field.description for field in declared.model_fields.values())


def test_an_attribute_that_nobody_reads_is_found(found: dict[str, set[str]]) -> None:
    """None of the above is blind."""

    class Idle(Spec):
        profile_of_nobody: str = ""

    class Outer(TenantSpec):
        idle: Idle = Idle()
        quiet: bool = False  # read, but by `watch`

    Idle.__module__ = Outer.__module__ = TenantSpec.__module__
    assert unread(Outer, found) == ["idle", "idle.profile_of_nobody", "quiet"]
