"""Constructors: they emit attention weights for a target. Nothing here is trusted."""
