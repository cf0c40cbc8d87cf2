"""A training that goes back, as a job on Ray: it says so, and it recovers. Run by hand: make soak (two minutes)."""

import json
from pathlib import Path
from typing import Any

from tests.acceptance.test_survival import prefix, stats
from tests.support.works import TheWorks

# A hundred times the rates with which these networks learn: the critic's values explode within its first steps.
TEXT = """\
kind: train
name: hasty
model:
  family: wgan_gp
  params:
    generator_channels: 32
    discriminator_channels: 32
    generator: {lr: 0.1}
    discriminator: {lr: 0.1, steps: 2}
    ema: {half_life: 500}
data: {source: fashion-mnist, resolution: 16}
train:
  examples: 12k
  batch_size: 64
  checkpoint: {every: 2k, keep: 10}
  health: {on_divergence: rollback}
resources: {workers: 2}
"""


def state(works: TheWorks, key: str) -> dict[str, Any]:
    return json.loads(works.store.get(key.replace("COMMIT.json", "state.json")))


def test_a_job_that_diverges_goes_back_and_recovers(works: TheWorks, tmp_path: Path) -> None:
    (job_id,) = works.submit(TEXT, tmp_path)
    job = works.wait_ended(job_id, within=600)
    assert job["status"] == "SUCCEEDED", works.story(job_id)
    rows = stats(works, job)
    back = max(row["stats"].get("rollbacks", 0) for row in rows)
    print(f"{back:.0f} rollbacks; findings: {[(r['examples'], f['name']) for r in rows for f in r['findings']]}")
    assert back >= 1
    assert not any(finding["name"] == "divergence" for row in rows[-len(rows) // 4 :] for finding in row["findings"])
    said = {event["data"].get("name") for event in works.events(job_id) if event["type"] == "finding"}
    assert {"divergence", "rollback"} <= said
    commits = [info.key for info in works.store.list(f"{prefix(job)}checkpoints/") if info.key.endswith("/COMMIT.json")]
    assert {state(works, key)["rollbacks"] for key in commits} == {back}, "a checkpoint of the line that was left"
