"""From files to training documents: reading, filtering, deduplication, hold-out, shards."""
