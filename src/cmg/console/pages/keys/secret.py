"""A key's secret, shown once, with what is needed to try it."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.dialogs import head, titled
from cmg.console.parts.figures import html
from cmg.console.visit import View

_CURL = """curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{{"model": "sim/echo", "user": "ada", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
_PYTHON = """from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
answer = client.chat.completions.create(
    model="sim/echo", user="ada", messages=[{{"role": "user", "content": "Hello"}}]
)
print(answer.choices[0].message.content)"""
_JS = """import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{url}/v1", apiKey: "{key}" }});
const answer = await client.chat.completions.create({{
  model: "sim/echo", user: "ada", messages: [{{ role: "user", content: "Hello" }}],
}});
console.log(answer.choices[0].message.content);"""
_SNIPPETS = {"curl": _CURL, "Python": _PYTHON, "JavaScript": _JS}


async def show_secret(view: View, made: Mapping[str, Any]) -> None:
    """Until the person says that it is kept."""
    title = f"The secret of “{made['name']}”"
    with titled(title) as dialog, ui.card().classes("cmg-dialog"):
        head(title)
        ui.label("Keep it now: it is shown this once.")
        html(_copied("cmg-secret", made["key"], "the secret"))
        ui.label("Try it").props("role=heading aria-level=3")
        with ui.tabs().props('no-caps align=left aria-label="Examples"') as tabs:
            for name in _SNIPPETS:
                ui.tab(name)
        with ui.tab_panels(tabs, value="curl").classes("cmg-field"):
            for place, (name, snippet) in enumerate(_SNIPPETS.items()):
                with ui.tab_panel(name):
                    told = snippet.format(url=view.api_url, key=made["key"])
                    html(_copied(f"cmg-snippet-{place}", told, f"the {name} example"))
        with ui.row().classes("cmg-buttons"):
            ui.button("I have kept it", on_click=lambda: dialog.submit(None))
    await dialog
    dialog.delete()


def _copied(name: str, text: str, what: str) -> Markup:
    return Markup(
        '<pre class="cmg-pre" tabindex="0" id="{0}">{1}</pre>'
        '<button type="button" class="cmg-copy" data-copy="{0}" aria-label="Copy {2}">Copy</button>'
    ).format(name, text, what)
