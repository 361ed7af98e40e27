"""The bot over HTTP: its own and OpenAI's chat protocol, the bank under control, metrics (DESIGN: the house)."""
