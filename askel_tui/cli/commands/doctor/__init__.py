"""`askel doctor`: checks that everything is in order on this machine.

Nothing here changes anything: what is wrong is said, with what to do about it.
"""
