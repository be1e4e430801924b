"""What a registered model rests on: shown, recomputed, rebuilt, and compared with another's."""
