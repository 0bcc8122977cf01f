"""Terms added to the objective: one file per formula."""
