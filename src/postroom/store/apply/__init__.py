"""Changes turned into rows: pure with respect to processes, so that it may run wherever the write lock is held.

Each function here checks first and changes then: one that answers `Refused` has written nothing.
"""
