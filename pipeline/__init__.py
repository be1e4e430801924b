"""How it is run, remembered and audited: Prefect flows, MLflow, the command line."""
