"""The web console: pages for people, and nothing but a client of the control plane.

A browser's request enters with the cookie of a person's session; a page leaves, drawn from answers of the control
plane's own routes, asked within this process in that person's name. So permissions, tenants, audit and security events
are those of every other client, and a page that shows too much or a button that should be hidden changes nothing.

A page is a function in `pages/` under the decorator `parts.frame.page`, imported by `pages/__init__.py`:

    @page("/things", title="Things", icon="category", group="Access")
    async def things(view: View) -> None:
        columns = [Column("Thing", lambda row: link(row["name"], f"/things/{row['id']}")),
                   Column("Made", lambda row: moment(row["created_at"]))]
        await paged(view, "/admin/v1/things", columns)

`view` calls the control plane (`await view.get(path, {...})`, `view.post(path, body)`). What it refuses is a `Refused`
that, uncaught, is shown in a banner (while the page is drawn) or a notification (in a handler). `parts/` has the rest:
`tables` (pages by cursor, filters in the address), `forms` (dialogs with fields, refusals at their field), `dialogs`
(what destroys asks for the name), `charts`, `figures` (cards), `markup` (cells, moments in the viewer's zone, badges;
it escapes). Where a page needs several modules it gets a folder in `pages/`. The browser's part, a little script and
one style sheet, is in `static/`.
"""
