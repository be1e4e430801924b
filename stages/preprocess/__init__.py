"""DICOM pixels to one memory-mapped array per batch."""
