"""Tests of installations by OAuth, without sockets."""
