// The chosen theme, before the first paint: loaded ahead of everything else, so that nothing flashes.
"use strict";
try {
  const theme = localStorage.getItem("tickertape.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // A browser that keeps nothing still shows the page, as its system's theme says.
}
