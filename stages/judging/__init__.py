"""How predictions are judged: rankings, metrics, resampling of patients. Arrays and frames in, numbers out."""
