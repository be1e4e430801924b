"""A search for hyper-parameters: trials that are DVC experiments, judged on val; test is never looked at."""
