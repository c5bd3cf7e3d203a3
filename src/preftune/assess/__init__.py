"""What a tuned model says: answers before and after."""
