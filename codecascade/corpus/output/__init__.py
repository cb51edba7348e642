"""What a build leaves: shards, the split, the account of what was left out, a datasheet, a page."""
