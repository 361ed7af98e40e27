"""How fast every system replies, and what that costs: g2r bench."""
