"""The ASGI app: routes, wire structs, the envelope, errors to statuses, authentication, size limits."""
