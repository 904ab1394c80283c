"""Revisions of manifests: one digest a content, differences by field, drift by ownership, rules."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_pipelines.core.road.drift import DriftKind, added_fields, drift_of, is_managed
from platform_pipelines.core.road.manifest_policies import Replacement, violations
from platform_pipelines.core.road.manifests import (
    OWNER,
    REVISION,
    Difference,
    FieldChange,
    changes_between,
    field_changes,
    key_of,
    revision_from_json,
    revision_of,
)
from platform_pipelines.errors import ConfigurationError, IntegrityError
from platform_pipelines.stages.road.api_replacements import known_replacements


def config(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "n"}, "data": data,
    }  # fmt: skip


def deployment(**container: Any) -> dict[str, Any]:
    whole = {
        "name": "c",
        "image": "registry/app:1",
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False},
        **container,
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n"},
        "spec": {"template": {"spec": {"containers": [whole]}}},
    }  # fmt: skip


names = st.text("abcdefghij", min_size=1, max_size=4)


@given(st.dictionaries(names, st.dictionaries(names, names, max_size=3), max_size=6), st.randoms())
def test_the_order_of_rendering_is_not_part_of_a_revision(
    made: dict[str, dict[str, str]], order: Any
) -> None:
    """A revision that differs by nothing would roll every pod."""
    manifests = [config(name, **data) for name, data in made.items()]
    shuffled = list(manifests)
    order.shuffle(shuffled)
    first, second = revision_of("o", "i", manifests), revision_of("o", "i", shuffled)
    assert first.digest == second.digest
    assert changes_between(first, second) == ()
    assert revision_from_json(first.to_json(), where="x") == first


def test_the_revision_is_stamped_on_every_object_and_is_not_part_of_itself() -> None:
    """Each object says whose it is and of which revision."""
    revision = revision_of("models", "abc", [config("a"), config("b")])
    for one in revision.stamped:
        assert one["metadata"]["annotations"][REVISION] == revision.digest
        assert one["metadata"]["labels"][OWNER] == "models"


def test_what_others_stand_in_is_applied_first() -> None:
    """An object cannot be made in a namespace that is not there."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}}
    assert [k.kind for k in revision_of("o", "i", [deployment(), config("a"), space]).keys] == [
        "Namespace", "ConfigMap", "Deployment",
    ]  # fmt: skip


def test_one_object_twice_is_refused_and_so_is_none() -> None:
    """The last one would win, silently."""
    with pytest.raises(ConfigurationError, match="rendered twice"):
        revision_of("o", "i", [config("a"), config("a", x="y")])
    with pytest.raises(ConfigurationError, match="not the manifest"):
        key_of({"kind": "ConfigMap"})


def test_a_damaged_revision_is_not_believed() -> None:
    """It would be applied."""
    text = revision_of("o", "i", [config("a", x="1")]).to_json()
    with pytest.raises(IntegrityError, match="digest"):
        revision_from_json(text.replace('"x": "1"', '"x": "2"'), where="x")
    with pytest.raises(IntegrityError, match="not a revision"):
        revision_from_json("[]", where="x")


def test_changes_name_the_object_the_field_and_both_values() -> None:
    """A person approves what they can read."""
    before = revision_of("o", "i", [config("same"), config("gone"), deployment()])
    after = revision_of(
        "o", "i", [config("same"), config("new"), deployment(image="registry/app:2")]
    )
    found = {(c.key.name, c.difference): c.fields for c in changes_between(before, after)}
    assert set(found) == {
        ("new", Difference.ADDED), ("gone", Difference.REMOVED), ("d", Difference.CHANGED),
    }  # fmt: skip
    path = "spec.template.spec.containers[c].image"
    assert found["d", Difference.CHANGED] == (
        FieldChange(path, "registry/app:1", "registry/app:2"),
    )


@given(st.recursive(st.integers() | names, lambda x: st.lists(x) | st.dictionaries(names, x)))
def test_nothing_differs_from_itself(value: Any) -> None:
    """Or the page would never say that nothing changes."""
    assert field_changes(value, copy.deepcopy(value)) == ()


def live_of(manifest: dict[str, Any], *entries: dict[str, Any]) -> dict[str, Any]:
    metadata = {**manifest["metadata"], "managedFields": list(entries), "resourceVersion": "7"}
    return {**manifest, "metadata": metadata, "status": {"ready": 1}}


OURS = {
    "manager": "platform-pipelines", "operation": "Apply",
    "fieldsV1": {"f:data": {"f:a": {}}, "f:metadata": {"f:labels": {"f:x": {}}}},
}  # fmt: skip


def test_defaulted_fields_and_status_are_no_drift() -> None:
    """Both sides are the server's own: what it filled in is in both."""
    served = config("c", a="1") | {"immutable": False}
    expected = live_of(served, OURS) | {"status": {"ready": 0}}
    assert drift_of(key_of(served), expected, live_of(served, OURS)) is None


def test_a_changed_field_is_drift_and_says_who() -> None:
    """The person who did it is asked first."""
    person = {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:data": {"f:a": {}}}}
    found = drift_of(
        key_of(config("c")),
        live_of(config("c", a="1"), OURS),
        live_of(config("c", a="2"), OURS, person),
    )
    assert found is not None
    assert (found.kind, found.who) == (DriftKind.CHANGED, ("kubectl-edit",))
    assert found.fields == (FieldChange("data.a", "1", "2"),)


def test_a_field_beside_ours_is_found_by_its_manager_and_a_controllers_is_not() -> None:
    """Scaling and status are written beside us all day; an added container is not."""
    added = {"f:data": {"f:b": {}}}
    person = {"manager": "kubectl", "operation": "Update", "fieldsV1": added}
    keda = {"manager": "keda-operator", "operation": "Update", "fieldsV1": added}
    status = {"manager": "x", "operation": "Update", "subresource": "status", "fieldsV1": added}
    served = config("c", a="1", b="2")
    assert added_fields(live_of(served, OURS, keda, status)) == ()
    assert added_fields(live_of(served, OURS, person)) == (("kubectl", "data.b"),)


def test_a_copied_label_makes_nobody_an_owner() -> None:
    """`kubectl get -o yaml | kubectl create` copies labels too."""
    person = {"manager": "kubectl-create", "operation": "Update", "fieldsV1": {}}
    assert is_managed(live_of(config("c"), OURS))
    assert not is_managed(live_of(config("c"), person))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"image": "registry/app"}, "image"),
        ({"image": "registry:5000/app"}, "image"),
        ({"image": "registry/app:" + "latest"}, "image"),
        ({"securityContext": {"privileged": True}}, "containment"),
        ({"resources": {}}, "budget"),
        ({"args": ["--swap-space=4"]}, "outdated"),
    ],
)
def test_a_container_that_breaks_a_rule_is_named(change: dict[str, Any], rule: str) -> None:
    """Before anything is sent."""
    revision = revision_of("o", "i", [deployment(**change)])
    assert rule in {one.rule for one in violations(revision, known_replacements())}


def test_a_container_that_keeps_all_rules_is_left_alone() -> None:
    """A rule that fires always is switched off soon."""
    digest = "registry/app@sha256:" + "0" * 64
    for image in ("registry:5000/app:1", digest):
        assert violations(revision_of("o", "i", [deployment(image=image)])) == ()


def test_secrets_and_star_rights_are_refused() -> None:
    """A secret in a manifest is in every copy of it; `*` grants what does not exist yet."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s"},
        "data": {"a": "eA=="},
    }
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["*"], "verbs": ["get"]}],
    }  # fmt: skip
    found = {(v.rule, v.field) for v in violations(revision_of("o", "i", [secret, role]))}
    assert found == {("secret", "data"), ("rights", "rules[0].resources")}


def test_what_has_gone_is_named_with_what_stands_in_its_place() -> None:
    """An old definition may still be served: then nobody else says it."""
    old = {"apiVersion": "kueue.x-k8s.io/v1beta1", "kind": "LocalQueue", "metadata": {"name": "q"}}
    (found,) = violations(revision_of("o", "i", [old]), known_replacements())
    assert "kueue.x-k8s.io/v1beta2 (cohortName)" in found.message


def test_a_replacement_of_a_field_looks_into_lists_and_keys_with_dots() -> None:
    """Annotations have dots in their names."""
    gone = Replacement("", "ConfigMap", ("metadata", "annotations", "a.b/c"), "", "nothing", "1")
    one = config("c")
    one["metadata"]["annotations"] = {"a.b/c": "x"}
    (found,) = violations(revision_of("o", "i", [one]), [gone])
    assert found.field == "metadata.annotations.a.b/c"
