"""Trainings at several doses of a regulariser: what each number does, and what that says of the others."""
