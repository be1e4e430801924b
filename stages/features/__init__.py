"""The frozen backbone over every image."""
