"""The steps over documents: filtering, redaction, decontamination, deduplication."""
