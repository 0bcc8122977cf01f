"""Terms added to the contrastive loss: one file per formula."""
