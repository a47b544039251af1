"""What can be calibrated: one file a kind, each with one `Target`; found by name."""
