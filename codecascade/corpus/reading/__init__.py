"""Turns the bytes of a candidate into documents: encoding, language, licence, notebooks."""
