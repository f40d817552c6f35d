"""HTTP plumbing of the ASGI app: request context, decoding of bodies, envelope, errors and headers."""
