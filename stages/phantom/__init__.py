"""Supplier: a synthetic chest-radiograph cohort as DICOM, free of any person's data."""
