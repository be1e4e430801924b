"""One model judged on patients it never saw."""
