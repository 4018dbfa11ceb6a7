"""What can be wrong with a question about time series, in the words of Prometheus' HTTP API."""


class QueryError(Exception):
    """A question without an answer: `kind` is Prometheus' `errorType`, `status` the HTTP status."""

    kind = "execution"
    status = 422


class BadData(QueryError):
    """400: the expression or a parameter cannot be read."""

    kind = "bad_data"
    status = 400


class ExecutionError(QueryError):
    """422: the expression can be read, but not on these series."""


class QueryTimeout(QueryError):
    """503: it took longer than the caller or the service allows."""

    kind = "timeout"
    status = 503


class SourceAway(QueryError):
    """503: where the samples are kept cannot be reached."""

    kind = "unavailable"
    status = 503
