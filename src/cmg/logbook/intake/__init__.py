"""Lines of other programs: what collectors send as OTLP/HTTP becomes lines by the same names as our own.

Export requests (protobuf or JSON) enter; lines leave, redacted and bounded like those of the service itself.
"""
