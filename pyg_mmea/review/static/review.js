// Keys, and pages that are exchanged in place. Without this file the forms work by themselves.
"use strict";

const LOST =
  "The server does not answer, so it is not certain that this was kept. Start 'pyg-mmea review' " +
  "again and open the address that it prints; what was confirmed before is on disk.";
const PATIENCE = 40_000; // milliseconds; the server itself waits 30 seconds for the ledger
const KEYS = {
  a: "accept", r: "reject", s: "skip", u: "undo", n: "note", "?": "open-help",
  ArrowLeft: "before", ArrowRight: "behind",
  1: "other-1", 2: "other-2", 3: "other-3", 4: "other-4",
};

const byId = (id) => document.getElementById(id);
let busy = false;

function complain(text) {
  byId("problem").textContent = text;
}

// Puts parts of another page into this one and keeps the focus, or asks the next question.
function show(page, said) {
  const focused = document.activeElement ? document.activeElement.id : "";
  for (const id of ["progress", "main"]) {
    byId(id).replaceWith(document.adoptNode(page.getElementById(id)));
  }
  document.title = page.title;
  byId("status").textContent = said ? `${said} ${byId("count").textContent}` : "";
  const kept = byId(focused);
  (kept && !kept.disabled && focused !== "note" ? kept : byId("question")).focus({
    preventScroll: true,
  });
  window.scrollTo(0, 0);
}

// Asks the server; the page stays as it is until the answer is there, and if there is none.
async function load(url, options, said, remember) {
  if (busy) return;
  busy = true;
  byId("main").setAttribute("aria-busy", "true");
  complain("");
  try {
    const response = await fetch(url, { ...options, signal: AbortSignal.timeout(PATIENCE) });
    const text = await response.text();
    if (!(response.headers.get("Content-Type") || "").startsWith("text/html")) {
      complain(text);
      return;
    }
    const note = byId("note") ? byId("note").value : "";
    show(new DOMParser().parseFromString(text, "text/html"), response.ok ? said : "");
    if (!response.ok && byId("note")) byId("note").value = note;
    if (response.ok && remember) history.pushState(null, "", response.url);
  } catch {
    complain(LOST);
  } finally {
    busy = false;
    byId("main").removeAttribute("aria-busy");
  }
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const data = new FormData(form);
  const button = event.submitter;
  if (button && button.name) data.set(button.name, button.value);
  if (byId("note") && data.get("verdict") !== "undo") data.set("note", byId("note").value);
  const options = { method: "POST", body: new URLSearchParams(data) };
  load(form.action, options, button ? button.dataset.said : "", true);
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.local");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  load(link.href, {}, "", true);
});

window.addEventListener("popstate", () => load(location.href, {}, "", false));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target.closest("textarea")) {
    if (event.key === "Escape") byId("question").focus();
    return;
  }
  if (byId("help").open || event.repeat || !byId("keys").checked) return;
  // Of a layout with other letters, the place of the key counts.
  const latin = event.key.length > 1 || /^[ -~]$/.test(event.key);
  const key = latin ? event.key : event.code.replace(/^Key/, "");
  const element = byId(KEYS[key.length > 1 ? key : key.toLowerCase()] || "");
  if (!element || (key.startsWith("Arrow") && event.target.closest(".scroll"))) return;
  event.preventDefault();
  if (element.id === "note") element.focus();
  else element.click();
});

byId("open-help").hidden = false;
byId("open-help").addEventListener("click", () => {
  byId("help").showModal();
  byId("close-help").focus();
});
byId("keys").checked = localStorage.getItem("keys") !== "off";
byId("keys").addEventListener("change", (event) => {
  localStorage.setItem("keys", event.target.checked ? "on" : "off");
});
byId("question").focus({ preventScroll: true });
