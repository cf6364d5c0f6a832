"""What Schemathesis is told about the API beside its document, each with the reason."""
