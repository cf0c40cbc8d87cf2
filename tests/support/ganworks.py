"""The command line as a module, for tests that run before or without an installed script."""

from orchestrator.cli import main

if __name__ == "__main__":
    main()
