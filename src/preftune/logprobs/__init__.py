"""A model and a batch become log-probabilities of completions, in nats, with bounded memory."""
