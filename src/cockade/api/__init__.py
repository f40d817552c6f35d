"""HTTP API: one package per resource, with its routes and its request and response schemas."""
