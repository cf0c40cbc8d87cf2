"""Where an attempt's things are, from its claim."""

from jobs.storage.layout import Layout
from jobs.store import Store, open_store
from jobs.wire import Claim


def store_of(claim: Claim) -> Store:
    return open_store(claim.store.uri, env=claim.store.env)


def layout_of(claim: Claim) -> Layout:
    return Layout(project=claim.project, job_name=claim.job_name, job_id=claim.job_id)
