"""Passes over few tokens in code that numba (an extra) compiles for this machine's processor.

Everything but :mod:`~codecascade.generation.engine.compiled.use` needs numba to be installed.
"""
