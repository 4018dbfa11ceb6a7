"""The HTTP side: hooks that others call, `/admin/v1/alerts` and its neighbours, and one set of routes for documents."""
