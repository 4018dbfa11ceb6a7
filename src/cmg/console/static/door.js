// The forms in front of the session: sends a form's fields to the control plane as JSON, and goes on.
"use strict";

const form = document.querySelector("form");
const problem = document.getElementById("problem");
const told = form.dataset;

function next() {
  const wanted = new URLSearchParams(location.search).get("next") || told.after;
  // A path of this origin and nothing that a browser could read as another host.
  return /^\/(?![/\\])[\x21-\x7e]*$/.test(wanted) && !wanted.includes("\\") ? wanted : "/";
}

function complain(message, field) {
  problem.textContent = message;
  problem.hidden = false;
  const input = field && form.elements[field];
  if (input) {
    input.setAttribute("aria-invalid", "true");
    input.focus();
  }
}

async function csrf() {
  const answer = await fetch("/admin/v1/me");
  return answer.ok ? (await answer.json()).csrf : "";
}

function given() {
  const body = {};
  for (const input of form.elements) {
    if (input.name && input.value) body[input.name] = input.name === "code" ? input.value.trim() : input.value;
  }
  if (told.token === "1") body.token = location.hash.slice(1);
  return body;
}

async function send() {
  const headers = { "content-type": "application/json" };
  if (told.signedIn === "1") headers["x-cmg-csrf"] = await csrf();
  const answer = await fetch(told.posts, { method: "POST", headers, body: JSON.stringify(given()) });
  const words = await answer.text();
  if (answer.ok) {
    if (told.after) location.assign(next());
    else document.getElementById("done").hidden = false;
    return;
  }
  const error = JSON.parse(words).error;
  const later = form.querySelector("[data-later]");
  if (error.code === "code_needed" && later) {
    later.hidden = false;
    later.querySelector("input").focus();
    if (!later.dataset.asked) {
      later.dataset.asked = "1";
      return;
    }
  }
  complain(error.message, error.param);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  problem.hidden = true;
  const button = form.querySelector("button");
  button.disabled = true;
  try {
    await send();
  } catch {
    complain("The service does not answer; try again in a moment.");
  } finally {
    button.disabled = false;
  }
});

if (!window.isSecureContext) {
  complain(
    "Browsers keep a session only over TLS, or on the machine itself. Set tls_certificate, stand a TLS proxy before the " +
      `service, or reach it by a tunnel: ssh -L ${location.port}:127.0.0.1:${location.port} ${location.hostname}`
  );
}

const oidc = document.getElementById("oidc");
if (oidc) {
  fetch("/admin/v1/login")
    .then((answer) => answer.json())
    .then((ways) => {
      oidc.hidden = !ways.oidc;
      oidc.querySelector("a").href = `${ways.oidc}?next=${encodeURIComponent("/console" + next())}`;
    })
    .catch(() => complain("The service does not answer; try again in a moment."));
}
const whose = document.getElementById("whose");
if (whose) {
  fetch("/admin/v1/me")
    .then((answer) => (answer.ok ? answer.json() : { email: "" }))
    .then((person) => { whose.value = person.email; })
    .catch(() => complain("The service does not answer; try again in a moment."));
}
form.querySelector("input[name]").focus();
