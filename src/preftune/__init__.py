"""preftune: from preference data to a better language model, in one command, with nothing silently wrong."""

__version__ = "0.1.0"
