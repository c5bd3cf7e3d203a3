"""Training: one step, the loop around it, its optimiser, its state, and the held-out evaluation."""
