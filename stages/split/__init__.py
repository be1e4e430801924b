"""Labels join images; patients are dealt to train, val and test or held out whole, and never move."""
