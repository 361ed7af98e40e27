"""Distil a generative chat model into a retrieval model that answers in milliseconds on a CPU."""
