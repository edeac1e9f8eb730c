"""From surfaces to what physics sees, with its measured error."""
