"""What a person writes for the lab: YAML files against strict models, and keys."""
