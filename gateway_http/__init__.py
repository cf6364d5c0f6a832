"""The machinery of the HTTP API: one server, one route decorator, bodies and blobs as streams, problems as JSON."""
