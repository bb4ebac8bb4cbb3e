"""Pictures of what features do."""
