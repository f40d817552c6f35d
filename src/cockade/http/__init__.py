"""HTTP plumbing that knows no resource: request context, decoding, envelope, errors, limits, proxies."""
