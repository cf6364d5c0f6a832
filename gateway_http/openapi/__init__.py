"""The API as an OpenAPI 3.1 document, made of the routes and models that serve requests."""

from gateway_http.openapi.document import document

__all__ = ["document"]
