"""The examples for Kubernetes, containers and Grafana. `tests/deploy/` has the tests that run servers."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

MANIFEST = ROOT / "examples/kubernetes/daytime.yaml"
CONTAINERFILE = ROOT / "examples/container/Containerfile"
DASHBOARD = ROOT / "examples/prometheus/dashboard.json"
# The sleep action of preStop is in every cluster from 1.30 on.
VERSIONS = ("1.30", "1.34", "1.37")


def tool(name: str) -> str:
    """A program of the virtual environment or of the system."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def validate(manifest: Path, version: str) -> "subprocess.CompletedProcess[str]":
    command = [tool("kubernetes-validate"), "--kubernetes-version", version, "--strict", str(manifest)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_key_of_the_manifest(version: str) -> None:
    validated = validate(MANIFEST, version)
    assert validated.returncode == 0, validated
    assert validated.stdout.count(" passed ") == len(list(objects()))


@pytest.mark.parametrize(
    ("right", "wrong"), [("replicas: 2", "replica: 2"), ("containerPort: 9990", "containerPort: x")]
)
def test_the_validator_finds_a_wrong_key_and_a_wrong_type(tmp_path: Path, right: str, wrong: str) -> None:
    manifest = tmp_path / "daytime.yaml"
    text = MANIFEST.read_text()
    assert right in text
    manifest.write_text(text.replace(right, wrong))
    assert validate(manifest, VERSIONS[-1]).returncode == 1


def objects() -> Iterator[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    yield from yaml.safe_load_all(MANIFEST.read_text())


def the(kind: str) -> dict[str, Any]:
    (found,) = (item for item in objects() if item["kind"] == kind)
    return found


def pod() -> dict[str, Any]:
    template: dict[str, Any] = the("Deployment")["spec"]["template"]
    return template


def container() -> dict[str, Any]:
    (only,) = pod()["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def values(node: Any, key: str) -> Iterator[Any]:
    """The values of a key anywhere in a tree."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for item in node:
            yield from values(item, key)


# What the validator does not see.


def test_every_selector_matches_the_pods() -> None:
    labels = pod()["metadata"]["labels"].items()
    services = [item["spec"]["selector"] for item in objects() if item["kind"] == "Service"]
    others = [the(kind)["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")]
    others.append(the("NetworkPolicy")["spec"]["podSelector"]["matchLabels"])
    others += [item["labelSelector"]["matchLabels"] for item in pod()["spec"]["topologySpreadConstraints"]]
    assert len(services) == 2
    for selector in services + others:
        assert selector
        assert selector.items() <= labels


def test_every_port_by_name_exists_and_is_listened_on() -> None:
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    policy = the("NetworkPolicy")["spec"]["ingress"]
    used = [check["port"] for check in values(pod(), "httpGet")]
    used += [port["targetPort"] for item in objects() if item["kind"] == "Service" for port in item["spec"]["ports"]]
    used += [port["port"] for rule in policy for port in rule["ports"]]
    assert len(used) == 7
    assert set(used) == set(ports)
    settings = tomllib.loads(the("ConfigMap")["data"]["daytime.toml"])
    listening = [*settings["listen"], *settings["listen-metrics"]]
    assert [int(address.rsplit(":", 1)[1]) for address in listening] == [ports["daytime"], ports["metrics"]]


def test_the_grace_period_is_longer_than_the_drain() -> None:
    settings = tomllib.loads(the("ConfigMap")["data"]["daytime.toml"])
    (pause,) = values(container(), "sleep")
    # A close lingers for at most a second.
    assert pod()["spec"]["terminationGracePeriodSeconds"] >= pause["seconds"] + settings["drain"] + 1


def test_the_configuration_is_where_the_server_reads_it() -> None:
    (mount,) = container()["volumeMounts"]
    (volume,) = pod()["spec"]["volumes"]
    assert mount["name"] == volume["name"]
    config = the("ConfigMap")
    assert volume["configMap"]["name"] == config["metadata"]["name"]
    (file,) = config["data"]
    assert container()["args"] == ["--config", f"{mount['mountPath']}/{file}"]
    assert pod()["spec"]["serviceAccountName"] == the("ServiceAccount")["metadata"]["name"]


def test_the_user_and_the_ports_are_those_of_the_image() -> None:
    text = CONTAINERFILE.read_text()
    security = pod()["spec"]["securityContext"]
    users = re.findall(r"^USER (.*)$", text, re.MULTILINE)
    assert users == [f"{security['runAsUser']}:{security['runAsGroup']}"] * 2
    ports = " ".join(str(port["containerPort"]) for port in container()["ports"])
    assert re.findall(r"^EXPOSE (.*)$", text, re.MULTILINE) == [ports] * 2


def lint(file: Path) -> "subprocess.CompletedProcess[str]":
    command = [tool("hadolint"), "--no-color", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=50)


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    linted = lint(CONTAINERFILE)
    assert (linted.returncode, linted.stdout) == (0, "")
    wrong = tmp_path / "Containerfile"
    wrong.write_text(CONTAINERFILE.read_text().replace("--no-install-recommends ", ""))
    linted = lint(wrong)
    assert (linted.returncode, linted.stdout.count("DL3015")) == (1, 1)


def grafana(name: str) -> Any:
    """A module of Grafana's models, which Grafana generates from the schemas of its own code."""
    return pytest.importorskip(f"grafana_foundation_sdk.{name}", reason="grafana-foundation-sdk is not installed")


def unknown_to_grafana(text: str) -> list[str]:
    """What a dashboard loses on its way through the models: keys that they do not know, and values of another type."""
    grafana("cog.plugins").register_default_plugins()
    given = json.loads(text)
    dashboard = grafana("models.dashboard").Dashboard.from_json(given)
    return list(losses(given, json.loads(grafana("cog.encoder").JSONEncoder().encode(dashboard)), ""))


def losses(given: Any, kept: Any, path: str) -> Iterator[str]:
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            # A dashboard that is not stored yet has null as its number.
            if key in kept or value is not None:
                yield from losses(value, kept.get(key), f"{path}/{key}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for index, value in enumerate(given):
            yield from losses(value, kept[index], f"{path}/{index}")
    elif given != kept:
        yield path


def test_grafana_knows_every_key_of_the_dashboard() -> None:
    assert unknown_to_grafana(DASHBOARD.read_text()) == []


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("schemaVersion", "/schemaVersion"),
        ("includeAll", "/templating/list/1/includeAll"),
        ("gridPos", "/panels/0/gridPos"),
        ("unit", "/panels/0/fieldConfig/defaults/unit"),
        # Of the data source's own model.
        ("legendFormat", "/panels/0/targets/0/legendFormat"),
    ],
)
def test_grafanas_model_finds_a_wrong_key(key: str, path: str) -> None:
    text = DASHBOARD.read_text().replace(f'"{key}":', f'"{key}s":')
    assert unknown_to_grafana(text)[0] == f"{path}s"


def test_the_panels_of_the_dashboard_fill_its_grid() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["id"] is None
    # Grafana's documentation: 8 to 40 characters.
    assert 8 <= len(dashboard["uid"]) <= 40
    panels = dashboard["panels"]
    places = []
    for panel in panels:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        places += [(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])]
    # Grafana has 24 columns.
    height = max(y for _, y in places) + 1
    assert sorted(places) == [(x, y) for x in range(24) for y in range(height)]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        names = [target["refId"] for target in panel["targets"]]
        assert len(set(names)) == len(names)


def test_the_dashboard_defines_its_variables() -> None:
    text = DASHBOARD.read_text()
    dashboard = json.loads(text)
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]+)", text.replace("$__all", "")))
    assert used == {*variables, "__rate_interval"}
    # Each panel, each expression and the list of servers follow the chosen data source.
    assert variables["datasource"]["query"] == "prometheus"
    targets = [target for panel in dashboard["panels"] for target in panel["targets"]]
    sources = [item["datasource"] for item in [*dashboard["panels"], *targets, variables["instance"]]]
    assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
