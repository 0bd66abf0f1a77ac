"""The command line in this process."""

from neurodeploy.cli import main


def call(*arguments):
    """Return the exit code of ``neurodeploy ARGUMENTS``."""
    return main([str(a) for a in arguments])
