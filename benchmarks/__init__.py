"""Measurements of readers' waiting times on test servers; none of it is shipped."""
