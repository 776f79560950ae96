// Counts what still fits into the summary, in the unit the server counts in, and keeps a second click from sending the
// form twice (the server would notice; the person should not have to wonder).
"use strict";
(() => {
  const summary = document.querySelector("textarea[data-room]");
  const room = document.getElementById("summary-room");
  if (summary && room) {
    const most = Number(summary.dataset.room);
    room.setAttribute("aria-live", "polite");
    const count = () => {
      // UTF-16 units after the browser's own CR LF is one again, as the server counts them.
      const left = most - summary.value.trim().length;
      room.textContent = left === 1 ? "1 more character fits." : `${left} more characters fit.`;
      room.classList.toggle("room-low", left <= 20);
    };
    summary.addEventListener("input", count);
    count();
  }

  for (const form of document.querySelectorAll("form[data-once]")) {
    form.addEventListener("submit", (event) => {
      if (form.classList.contains("is-sent")) return event.preventDefault();
      form.classList.add("is-sent");
      form.setAttribute("aria-busy", "true");
    });
    // Coming back by the back button finds the page as it was left.
    addEventListener("pageshow", () => {
      form.classList.remove("is-sent");
      form.removeAttribute("aria-busy");
    });
  }
})();
