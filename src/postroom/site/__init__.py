"""Puts a Postroom together out of a configuration: which role runs what, over which engine.

The only room that knows all the others; used by cli (and by testing and web, when they come).
"""
