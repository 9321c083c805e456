"""The lab: what a test sees. Depends on `targets`, `ai` and `contracts`; nothing depends on it but suites."""
