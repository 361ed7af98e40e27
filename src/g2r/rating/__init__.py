"""People judge replies on a local page, blind; their judgements become win rates and averages (EVALUATION: people)."""
