"""Resumable uploads as tus 1.0.0 has them: a document arrives in parts, over as many connections as it takes."""
