"""The OpenAPI document of the whole service and the page that shows it.

FastAPI describes the control plane; the data plane's operations are listed in `operations` with the structs that
its handlers decode and encode. One document leaves, the same that `docs/api/openapi.json` is checked against.
"""
