"""Provers of claims. The trusted base is the one file kernel.py."""
