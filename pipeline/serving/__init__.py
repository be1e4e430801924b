"""A registered model as a thing to use: packed with all that it needs, and asked about DICOM files."""
