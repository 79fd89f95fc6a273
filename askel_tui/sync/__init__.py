"""The moving parts: records are planned, operations are sent, answers are settled, orders are carried out."""
