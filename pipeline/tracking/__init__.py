"""What `track` does with MLflow: where it is, what it is told about a run, and which model it registers."""
