"""DICOM headers to an index without identity; every file is accepted or quarantined."""
