// Shows times in the reader's own time zone and keeps "3 min ago" true while a page stays open. Without it the page
// shows UTC and the distance as of when it was made, which is right too.
(() => {
  "use strict";

  const absolute = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

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
    if (Number.isNaN(at.getTime())) return;
    const [moment, distance] = [time.querySelector(".at"), time.querySelector(".ago")];
    if (moment) moment.textContent = absolute.format(at);
    if (distance) distance.textContent = `(${relative(at.getTime() - Date.now())})`;
  }

  const showAll = () => document.querySelectorAll("time[datetime]").forEach(show);
  showAll();
  setInterval(showAll, 30000);
  document.addEventListener("countersign:refreshed", showAll);
})();
