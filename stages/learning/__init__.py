"""What every stage that trains a network shares: loss, optimiser, augmentation, probe, progress, resumption."""
