"""The kinds of links, and how each is recomputed: functions from what MLflow holds to :class:`Link` objects."""
