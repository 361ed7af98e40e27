"""The judge: a cross-encoder that rates (context, response) pairs, for distillation and as a second stage."""
