"""Settings of training libraries."""
