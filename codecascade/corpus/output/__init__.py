"""The output of a build: shards, hold-out, dropped rows, datasheet, page."""
