"""Tables, rendered from records."""
