"""What is shipped for deployment, checked as far as it can be without a container engine."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs import kinds

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
# Read by the libraries and by Ray itself.
FOREIGN = ("AWS_", "RAY_")


def document(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def known_settings() -> set[str]:
    text = (ROOT / "orchestrator" / "settings.py").read_text()
    return set(re.findall(r"GANWORKS_[A-Z_]+", text)) | {"GANWORKS_URL", "GANWORKS_TOKEN"}


def promtool(*arguments: str) -> str:
    tool = shutil.which("promtool")
    assert tool, "promtool is missing; .ci/fetch promtool brings it"
    done = subprocess.run([tool, *arguments], cwd=DEPLOY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    promtool("check", "config", "--syntax-only", "prometheus.yaml")
    assert "5 rules found" in promtool("check", "rules", "rules.yaml")


def test_the_rules_speak_of_series_that_exist() -> None:
    names = set(re.findall(r"\bganworks_[a-z_]+", (DEPLOY / "rules.yaml").read_text()))
    source = "".join(path.read_text() for path in (ROOT / "orchestrator").rglob("*.py"))
    of_jobs = {each.name for kind in kinds.KINDS.values() for each in kind.all_series}
    for name in names:
        full = name.removeprefix("ganworks_")
        assert full in of_jobs or full.removesuffix("_total") in source, name


def test_compose_names_only_settings_that_exist() -> None:
    for name, service in document("compose.yaml")["services"].items():
        for variable in service.get("environment", {}):
            assert variable.startswith(FOREIGN) or variable in known_settings(), (name, variable)


def test_compose_services_reach_each_other() -> None:
    compose = document("compose.yaml")
    services = compose["services"]
    environment = services["orchestrator"]["environment"]
    for variable in ("GANWORKS_RAY_ADDRESS", "GANWORKS_ADVERTISE_URL", "AWS_ENDPOINT_URL_S3"):
        assert re.match(r"http://([a-z0-9-]+):\d+$", environment[variable])[1] in services  # type: ignore[index]
    for service in services.values():
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
        assert set(service.get("depends_on", [])) <= set(services)
    targets = document("prometheus.yaml")["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"orchestrator:{environment['GANWORKS_PORT']}"]


def test_every_role_runs_with_token_authentication() -> None:
    services = document("compose.yaml")["services"]
    for name in ("orchestrator", "ray-head", "ray-worker"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert "ray-token" in services[name]["secrets"]
    cluster = document("raycluster.yaml")["spec"]
    pods = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    for pod in pods:
        (container,) = pod["spec"]["containers"]
        assert {"name": "RAY_AUTH_MODE", "value": "token"} in container["env"]
        assert container["volumeMounts"][0]["name"] == pod["spec"]["volumes"][0]["name"]


def test_the_image_copies_what_is_there_and_runs_what_exists() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    assert {"jobs", "trainers", "orchestrator", "pyproject.toml", "constraints.txt"} <= set(copied)


def test_a_cron_line_escapes_its_percent_signs_and_carries_a_key() -> None:
    (line,) = [line for line in (DEPLOY / "crontab").read_text().splitlines() if line.startswith("0 2")]
    assert "--key" in line
    assert not re.search(r"(?<!\\)%", line)


@pytest.mark.parametrize("name", ["compose.yaml", "prometheus.yaml", "rules.yaml", "raycluster.yaml"])
def test_every_file_is_yaml(name: str) -> None:
    assert document(name)
