"""From a candidate's bytes to a document: encoding, language, licence, notebooks."""
