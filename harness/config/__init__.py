"""Configuration that people write: YAML files checked against strict models, and keys."""
