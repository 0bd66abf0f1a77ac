"""Evidence: does robustness survive deployment."""
