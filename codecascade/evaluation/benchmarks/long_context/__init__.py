"""Benchmarks of long contexts: does a model use text that is far back?"""
