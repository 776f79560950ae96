// Keeps "3 min ago" true while a page stays open, and adds the browser's own time to the tip of a time. What a page says is
// in the time zone that its reader chose, and stays so.
(() => {
  "use strict";

  const here = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "numeric", timeZoneName: "short",
  });

  // The same words and rounding as the server's.
  function span(seconds) {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 5400) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86400)} d`;
  }

  function relative(milliseconds) {
    const seconds = Math.trunc(milliseconds / 1000);
    if (Math.abs(seconds) < 5) return "just now";
    return seconds > 0 ? `in ${span(seconds)}` : `${span(-seconds)} ago`;
  }

  function show(time) {
    const at = new Date(time.dateTime);
    const distance = time.querySelector(".ago");
    if (Number.isNaN(at.getTime()) || !distance) return;
    const iso = at.toISOString();
    time.title = `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC; in this browser ${here.format(at)}`;
    distance.textContent = `(${relative(at.getTime() - Date.now())})`;
  }

  // Where a time zone is chosen: which one the browser keeps, if it is another.
  function hint(place) {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!zone || zone === place.dataset.browserZone) return;
    place.textContent = `This browser is in ${zone}.`;
    place.hidden = false;
  }

  const showAll = () => document.querySelectorAll("time[datetime]").forEach(show);
  showAll();
  document.querySelectorAll("[data-browser-zone]").forEach(hint);
  setInterval(showAll, 30000);
  document.addEventListener("countersign:refreshed", showAll);
})();
