"""What clients of mem0 send and expect (release 2.2), so that people move over by changing a host's name.

Requests of its `v1` to `v3` paths come in; our own use cases do the work; its shapes go out.
"""
