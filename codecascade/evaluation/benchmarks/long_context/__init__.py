"""Does a model use what stands far back?"""
