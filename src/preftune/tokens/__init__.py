"""Records become token ids, token ids become batches. Three layouts, one output type."""
