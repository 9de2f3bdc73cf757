"""What each operation does: one module per family, short functions from Context to Reply."""
