// Looks at the page again when the portal says that something on it has changed, and now and then anyway. What looking
// means is up to the page's own script, which listens for "countersign:look". One stream per page that is seen; a hidden
// page has none, because a browser opens only a few connections to one place.
"use strict";
(() => {
  const page = document.querySelector("[data-live]");
  if (!page) return;
  const every = Number(page.dataset.every) * 1000;
  const loaded = performance.now();
  let stream, refused, waiting;
  let pause = 5000;
  let last = loaded;

  const look = () => {
    waiting = undefined;
    last = performance.now();
    document.dispatchEvent(new CustomEvent("countersign:look"));
  };
  // A burst of hints is one look, at most one a second, and not every reader of one page comes in the same moment.
  const soon = () => {
    waiting ??= setTimeout(look, Math.max(Math.random() * 250, last + 1000 - performance.now()));
  };

  const concerns = (topic) => {
    const about = page.dataset.live;
    return about === "queue" || topic === about || topic === "queue" || topic === "refetch";
  };
  const close = () => {
    clearTimeout(refused);
    stream?.close();
    stream = undefined;
  };
  const open = () => {
    if (stream || document.hidden) return;
    stream = new EventSource("/events");
    stream.addEventListener("hint", (hint) => {
      if (concerns(hint.data)) soon();
    });
    stream.addEventListener("open", () => {
      pause = 5000;
      // What changed just before a page was made, the stream itself says.
      if (performance.now() - loaded > 5000) soon();
    });
    stream.addEventListener("error", () => {
      // The browser comes back by itself after an end, but not after a refusal: signed out, or no place.
      if (stream?.readyState !== EventSource.CLOSED) return;
      close();
      soon();
      refused = setTimeout(open, pause);
      pause = Math.min(pause * 2, 60000);
    });
  };

  // Without a stream the page keeps itself fresh; with one, only what nobody announces grows old: times of reading.
  setInterval(() => {
    if (document.hidden) return;
    const isHeard = stream?.readyState === EventSource.OPEN;
    if (!isHeard || performance.now() - last >= 4 * every) look();
  }, every);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return close();
    open();
    soon();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    open();
    soon();
  });
  open();
})();

// Reads a page of the portal. Null when there is none to be read any more: then the browser is on its way to where the
// portal sends it, unless `stay`.
const countersignRead = async (where, stay) => {
  const answer = await fetch(where, { credentials: "same-origin", redirect: "manual", headers: { Accept: "text/html" } });
  if (answer.type === "opaqueredirect") {
    if (!stay) location.reload();
    return null;
  }
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
};
