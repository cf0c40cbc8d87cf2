"""`ganworks …`: a client of the API; nothing of torch or ray, so that a cron host can run it."""


def main() -> None:
    from orchestrator.cli.app import run

    run()
