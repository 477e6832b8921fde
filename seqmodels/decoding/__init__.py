"""Writing with a trained model: sampling and beam search."""
