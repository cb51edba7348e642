"""Self-instruct by execution feedback (paper, section 2.5): questions, unit tests and solutions by a model.

Start at :mod:`~codecascade.instruct.self_instruct.pipeline`.
"""
