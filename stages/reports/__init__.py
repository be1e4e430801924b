"""Pages that people read: figures as data, one self-contained HTML file, no network."""
