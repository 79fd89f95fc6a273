"""Revisions: what a move to another one changes, tried before it is made; the move, and the way back.

What a person asks for, one function a task. The move itself is a command of the engine (`sync.engine.moving`).
"""
