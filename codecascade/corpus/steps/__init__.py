"""What is done with documents: filtering, redaction, decontamination, deduplication."""
