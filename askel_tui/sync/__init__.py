"""The running sync: plans records, sends operations, settles responses, executes commands, finds drift."""
