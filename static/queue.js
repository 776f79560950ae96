// Keeps the queue fresh and filters as one types, by asking for the same page and taking the list out of it. Without
// script the page does the same by its form. What is focused, selected or being typed is never taken away.
"use strict";
(() => {
  const queue = document.querySelector(".queue[data-live]");
  const form = queue && queue.querySelector("form.filter");
  if (!form) return;
  let newest = 0;
  let typing;
  let due = false;

  const address = () => {
    const fields = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) fields.set(name, value);
    const page = new URLSearchParams(location.search).get("page");
    const before = new URLSearchParams(location.search);
    const same = ["q", "source", "show"].every((name) => (fields.get(name) || "") === (before.get(name) || ""));
    if (page && same) fields.set("page", page);
    const query = fields.toString();
    return query ? `/?${query}` : "/";
  };

  const busy = () => {
    const list = document.getElementById("queue-list");
    const selection = getSelection();
    if (selection && !selection.isCollapsed && list.contains(selection.anchorNode)) return true;
    const active = document.activeElement;
    return Boolean(active && active.closest("input, textarea, select") && !form.contains(active));
  };

  // Where the person is in the list, in terms that outlive the swap: which card, and which of its links.
  const cardOf = (id) => document.getElementById(id)?.closest(".card");
  const idOf = (card) => card.querySelector("h2 a").id;
  const place = (list) => {
    const cards = [...list.querySelectorAll(".card")];
    const first = cards.find((card) => card.getBoundingClientRect().bottom > 0);
    const active = document.activeElement;
    const card = list.contains(active) ? active.closest(".card") : null;
    return {
      first: first && { id: idOf(first), top: first.getBoundingClientRect().top },
      focus: card && { id: idOf(card), link: [...card.querySelectorAll("a")].indexOf(active) },
    };
  };
  const restore = ({ first, focus }) => {
    if (focus) cardOf(focus.id)?.querySelectorAll("a")[focus.link]?.focus({ preventScroll: true });
    const card = first && cardOf(first.id);
    if (card && scrollY > 0) scrollBy({ top: card.getBoundingClientRect().top - first.top, behavior: "instant" });
  };

  const swap = (page) => {
    const list = document.getElementById("queue-list");
    const fresh = page.getElementById("queue-list");
    const tally = page.getElementById("queue-tally");
    if (!fresh || !tally) return location.reload();
    const before = place(list);
    list.replaceWith(document.adoptNode(fresh));
    document.dispatchEvent(new CustomEvent("countersign:refreshed"));
    restore(before);
    // A live region speaks when it changes, so it is only touched when it does.
    const shown = document.getElementById("queue-tally");
    if (shown.textContent !== tally.textContent) shown.textContent = tally.textContent;
  };

  const load = async () => {
    const turn = ++newest;
    due = false;
    const where = address();
    try {
      const page = await countersignRead(where);
      // A slow answer must not overwrite a newer one, nor what a person has begun to do meanwhile.
      if (!page || turn !== newest) return;
      if (busy()) {
        due = true;
        return;
      }
      swap(page);
      if (where !== location.pathname + location.search) history.replaceState(null, "", where);
      queue.classList.remove("is-stale");
    } catch {
      if (turn === newest) queue.classList.add("is-stale");
    }
  };

  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(load, 250);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    load();
  });
  const look = () => {
    due = busy();
    if (!due) load();
  };
  const catchUp = () => {
    if (due) look();
  };
  document.addEventListener("countersign:look", look);
  document.addEventListener("selectionchange", catchUp);
  document.addEventListener("focusout", catchUp);
})();
