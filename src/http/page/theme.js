// Runs before the page is drawn, so that a chosen theme never flashes the other one.
"use strict";
try {
  const chosen = localStorage.getItem("hoist.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage may be forbidden; the system's theme then applies.
}
