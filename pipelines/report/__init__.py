"""Self-contained HTML reports and pictures of worlds."""
