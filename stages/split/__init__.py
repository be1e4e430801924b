"""Labels join images; patients are dealt to train, val and test, and never move."""
