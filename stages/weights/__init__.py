"""Supplier: starting weights for every backbone that params.yaml names."""
