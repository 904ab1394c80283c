"""Alerts in Prometheus' own engine: each fires on its series over its threshold, and only there.

An expression over a misspelt series is an alert that never fires.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from platform_pipelines.core.watch.dashboards import DASHBOARDS, dashboard
from platform_pipelines.core.watch.rules import RULES, render_rules, rule_file

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")

# Series that make one alert fire, as promtool writes them: start, step, count, every minute.
AGENT = 'cluster="eks",agent="assistant"'
MODEL = 'cluster="eks",model_name="small"'
GPU = 'cluster="eks",Hostname="node",gpu="0"'
FIRING: dict[str, dict[str, str]] = {
    "AgentSlow": {
        f'agent_request_duration_seconds_bucket{{{AGENT},le="10"}}': "0+1x40",
        f'agent_request_duration_seconds_bucket{{{AGENT},le="60"}}': "0+60x40",
        f'agent_request_duration_seconds_bucket{{{AGENT},le="+Inf"}}': "0+60x40",
    },
    "AgentErrors": {
        f"agent_request_errors_total{{{AGENT}}}": "0+6x40",
        f"agent_request_duration_seconds_count{{{AGENT}}}": "0+60x40",
    },
    "ModelSlow": {
        f'vllm:e2e_request_latency_seconds_bucket{{{MODEL},le="10"}}': "0+1x40",
        f'vllm:e2e_request_latency_seconds_bucket{{{MODEL},le="60"}}': "0+60x40",
        f'vllm:e2e_request_latency_seconds_bucket{{{MODEL},le="+Inf"}}': "0+60x40",
    },
    "ModelQueue": {f"vllm:num_requests_waiting{{{MODEL}}}": "11x40"},
    "KvCacheFull": {f"vllm:kv_cache_usage_perc{{{MODEL}}}": "0.95x40"},
    "GatewayErrors": {
        'litellm_proxy_failed_requests_metric_total{cluster="eks"}': "0+6x40",
        'litellm_proxy_total_requests_metric_total{cluster="eks"}': "0+60x40",
    },
    "GpuBusy": {f"DCGM_FI_DEV_GPU_UTIL{{{GPU}}}": "95x40"},
    "GpuCopying": {f"DCGM_FI_DEV_MEM_COPY_UTIL{{{GPU}}}": "90x40"},
    "GpuMemoryFull": {
        f"DCGM_FI_DEV_FB_USED{{{GPU}}}": "23000x40", f"DCGM_FI_DEV_FB_FREE{{{GPU}}}": "500x40",
    },
    "GpuHot": {f"DCGM_FI_DEV_GPU_TEMP{{{GPU}}}": "86x40"},
    "GpuPower": {
        f"DCGM_FI_DEV_POWER_USAGE{{{GPU}}}": "290x40",
        f"DCGM_FI_DEV_POWER_MGMT_LIMIT{{{GPU}}}": "300x40",
    },
    "GpuThrottled": {f"DCGM_FI_DEV_SM_CLOCK{{{GPU}}}": "300x40"},
}  # fmt: skip


def promtool(*arguments: str) -> str:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule_file({})), encoding="utf-8")
    return file


def test_every_rule_has_its_series() -> None:
    """A rule without a test here is one that may never fire."""
    assert set(FIRING) == {rule.name for rule in RULES}


@needs_promtool
def test_prometheus_takes_the_file(rules: Path) -> None:
    """Its parser, its names, its templates."""
    assert f"{len(RULES)} rules found" in promtool("check", "rules", str(rules))


@needs_promtool
def test_each_alert_fires_on_its_series_and_not_on_quiet_ones(rules: Path, tmp_path: Path) -> None:
    """Every expression runs in a real engine; an empty result would fire nothing."""
    tests = [
        _case({}, firing=None),
        *(_case(series, firing=name) for name, series in FIRING.items()),
        *(_case(_quiet(series), firing=None, silent=name) for name, series in FIRING.items()),
    ]
    file = tmp_path / "tests.yaml"
    text = {"rule_files": [rules.name], "evaluation_interval": "1m", "tests": tests}
    file.write_text(yaml.safe_dump(text), encoding="utf-8")
    assert "SUCCESS" in promtool("test", "rules", str(file))


def _case(series: dict[str, str], *, firing: str | None, silent: str = "") -> dict[str, Any]:
    checked = [firing] if firing else [silent] if silent else list(FIRING)
    tests: list[dict[str, Any]] = []
    for name in checked:
        rule = next(r for r in RULES if r.name == name)
        expected = [{}] if firing else []
        tests.append({"expr": f"count(ALERTS{{alertname=\"{rule.name}\",alertstate=\"firing\"}})",
                      "eval_time": "30m",
                      "exp_samples": [{"labels": "{}", "value": 1} for _ in expected]})  # fmt: skip
    given = [{"series": name, "values": values} for name, values in series.items()]
    return {"interval": "1m", "input_series": given, "promql_expr_test": tests}


def _quiet(series: dict[str, str]) -> dict[str, str]:
    """The same series, far below each threshold (and the clock far above)."""
    quiet: dict[str, str] = {}
    for name, values in series.items():
        if "bucket" in name:
            quiet[name] = "0+60x40"
        elif re.search("errors|failed", name):
            quiet[name] = "0+0x40"
        elif re.search("count|total_requests|FREE|LIMIT", name):
            quiet[name] = "50000x40" if "FREE" in name else values
        else:
            quiet[name] = "1500x40" if "CLOCK" in name else "0x40"
    return quiet


def test_thresholds_may_be_declared_and_the_object_holds_the_same_rules() -> None:
    """One list of rules: file, object and dashboard cannot part."""
    rendered = render_rules("watch", "monitoring", thresholds={"GpuHot": 80})
    (group,) = rendered["spec"]["groups"]
    hot = next(rule for rule in group["rules"] if rule["alert"] == "GpuHot")
    assert hot["expr"].endswith(">= 80")
    shown = {
        panel["targets"][0]["expr"]
        for name in DASHBOARDS
        for panel in dashboard(name, f"watch-{name}")["panels"]
    }
    assert {rule.expression for rule in RULES} <= shown
    json.dumps([dashboard(name, name) for name in DASHBOARDS], allow_nan=False)
