"""What tells the label without the disease: sizes, borders, scanners, sites. None of it is a model's business."""
