"""From posed frames to one fused surface, with free space carved along measured rays."""
