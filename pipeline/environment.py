"""What Prefect and MLflow must be told before they are imported: no telemetry, patience, quiet."""

import os

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves seven processes of 245 MB each that nothing here uses
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",  # its own 20 s are too few on a slow machine
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the stages' own lines go to the terminal as they are
}


def prepare() -> None:
    """Set them, where the user has not."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
