// Keeps the table of live turns up to date. Without this script the page shows the state of its loading.
const INTERVAL = 500; // milliseconds: a new turn shows within a second

const place = document.getElementById("live-turns");
const state = document.getElementById("live-state");
let shown = "";
let leaving = false; // a form is submitted: its response replaces the page

async function refresh() {
  if (document.hidden || leaving) return;
  try {
    const response = await fetch(place.dataset.source, { cache: "no-store" });
    if (response.status === 401) {
      if (!leaving) location.reload(); // the session has ended: the server shows the login form
      return;
    }
    if (!response.ok) throw new Error(String(response.status));
    const html = await response.text();
    const focused = place.contains(document.activeElement) ? document.activeElement : null;
    if (html !== shown) {
      const left = place.querySelector(".scroll")?.scrollLeft ?? 0;
      place.innerHTML = html;
      shown = html;
      const scroll = place.querySelector(".scroll");
      if (scroll) scroll.scrollLeft = left;
      if (focused) scroll?.focus({ preventScroll: true });
    }
    if (state.textContent) state.textContent = "";
  } catch {
    if (!state.textContent) state.textContent = "The bot does not answer; trying again.";
  }
}

async function run() {
  for (;;) {
    await refresh();
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
}

document.addEventListener("visibilitychange", refresh);
document.addEventListener("submit", () => { leaving = true; });
window.addEventListener("pageshow", () => { leaving = false; }); // back from another page
run();
