// What pages do in the browser: moments in the viewer's zone, the search, light and dark, signing out.
"use strict";

window.cmg = (() => {
  const UNITS = [["year", 31536000], ["month", 2592000], ["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const ago = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
  const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

  function relative(date) {
    const seconds = (date - Date.now()) / 1000;
    const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) || UNITS[5];
    return ago.format(Math.round(seconds / size), unit);
  }

  function tell(time) {
    const date = new Date(time.dateTime);
    if (isNaN(date)) return;
    const clock = whole.format(date);
    const words = time.dataset.cmg === "absolute" ? clock : relative(date);
    if (time.textContent !== words) time.textContent = words;
    time.title = `${clock} (${zone})`;
  }

  const tellAll = () => document.querySelectorAll("time[data-cmg]").forEach(tell);

  // Numbers of charts; parts/figures.py has the same for the page.
  function read(value, unit) {
    if (typeof value !== "number") return value === undefined || value === null ? "–" : String(value);
    const few = (number) => String(Number(number.toPrecision(3)));
    if (unit === "usd") return "$" + (value && Math.abs(value) < 1 ? few(value) : value.toLocaleString(undefined, { maximumFractionDigits: 2 }));
    if (unit === "ratio") return few(value * 100) + " %";
    if (unit === "s") {
      if (Math.abs(value) < 1) return few(value * 1000) + " ms";
      if (Math.abs(value) < 120) return few(value) + " s";
      return Math.abs(value) < 7200 ? few(value / 60) + " min" : few(value / 3600) + " h";
    }
    if (unit === "bytes" || unit === "bytes_per_s") {
      const names = ["B", "KiB", "MiB", "GiB", "TiB"];
      let place = 0;
      while (Math.abs(value) >= 1024 && place < 4) { value /= 1024; place += 1; }
      return few(value) + " " + names[place] + (unit === "bytes_per_s" ? "/s" : "");
    }
    const told = Math.abs(value) >= 100 ? Math.round(value).toLocaleString() : few(value);
    return told + (unit === "per_s" ? "/s" : "");
  }

  function dark(wanted) {
    if (window.Quasar) Quasar.Dark.set(wanted === null ? "auto" : wanted === "dark");
  }

  function toggleDark() {
    const wanted = document.body.classList.contains("body--dark") ? "light" : "dark";
    localStorage.setItem("cmg-look", wanted);
    dark(wanted);
  }

  async function signOut(csrf) {
    await fetch("/admin/v1/logout", { method: "POST", headers: { "x-cmg-csrf": csrf } });
    location.assign("/login");
  }

  async function copy(button, text) {
    await navigator.clipboard.writeText(text);
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  // The search: every page of the navigation by a part of its name.
  function search() {
    const box = document.createElement("dialog");
    box.className = "cmg-search";
    box.setAttribute("aria-label", "Go to a page");
    box.innerHTML = '<input type="text" role="combobox" aria-expanded="true" aria-controls="cmg-found" aria-label="Page" placeholder="Go to…"><ul id="cmg-found" role="listbox" aria-label="Pages"></ul>';
    const input = box.querySelector("input"), list = box.querySelector("ul");
    const links = [...document.querySelectorAll(".cmg-nav a")].map((a) => ({ title: a.querySelector("div,span:not(.q-icon)")?.textContent || a.textContent, href: a.getAttribute("href") }));
    let found = [], at = 0;
    function draw() {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      found = links.filter((one) => words.every((word) => one.title.toLowerCase().includes(word)));
      at = Math.min(at, Math.max(0, found.length - 1));
      list.replaceChildren(...found.map((one, place) => {
        const item = document.createElement("li");
        item.id = `cmg-found-${place}`;
        item.textContent = one.title;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", String(place === at));
        item.addEventListener("click", () => location.assign(one.href));
        return item;
      }));
      if (found.length) input.setAttribute("aria-activedescendant", `cmg-found-${at}`);
      else input.removeAttribute("aria-activedescendant");
    }
    input.addEventListener("input", () => { at = 0; draw(); });
    input.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") at = Math.min(at + 1, found.length - 1);
      else if (event.key === "ArrowUp") at = Math.max(at - 1, 0);
      else if (event.key === "Enter" && found[at]) location.assign(found[at].href);
      else return;
      event.preventDefault();
      draw();
    });
    box.addEventListener("close", () => box.remove());
    box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
    document.body.append(box);
    draw();
    box.showModal();
    input.focus();
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    const wanted = (event.key === "k" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !typing);
    if (!wanted || document.querySelector("dialog.cmg-search")) return;
    event.preventDefault();
    search();
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (button) copy(button, document.getElementById(button.dataset.copy).textContent);
  });

  window.addEventListener("load", () => {
    const look = localStorage.getItem("cmg-look");
    if (look) dark(look);
    tellAll();
    new MutationObserver(tellAll).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ["datetime"] });
    setInterval(tellAll, 20000);
  });

  return { read, search, signOut, toggleDark };
})();
