"""Claims whose truth is known by construction, and what attncert says of them."""
