"""Conventions as tests. Each test checks the repository, and a sample that violates the convention."""
