"""The running sync: plans records, sends operations, settles responses, executes commands, finds drift.

No screen, no terminal and no service: what users ask for is in `services`.
"""
