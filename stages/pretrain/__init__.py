"""Self-supervised training: a backbone goes on learning from images without their labels."""
