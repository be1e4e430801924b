"""What all folds of cross-validation say of a recipe together."""
