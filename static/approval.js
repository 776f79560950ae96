// Counts what still fits into the summary, in the unit the server counts in, keeps a second click from sending the form
// twice (the server would notice; the person should not have to wonder), and keeps what is told about the approval fresh.
// What a person signs is never changed under their hands: if that has changed, they are told, and look for themselves.
"use strict";
(() => {
  const prepare = () => {
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
    }
  };
  prepare();
  // Coming back by the back button finds the page as it was left.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-once]")) {
      form.classList.remove("is-sent");
      form.removeAttribute("aria-busy");
    }
  });

  // Opened by a mail, with nobody signed in, the page hears of nothing.
  if (!document.querySelector(".approval[data-live]")) return;

  const news = document.getElementById("news");
  const address = `/approvals/${document.querySelector(".approval").dataset.live.split(" ")[1]}`;
  const formOf = (article) => article.querySelector("form[data-once]");
  const seenBy = (article) => formOf(article)?.elements.fingerprint.value;

  const say = (text, offer) => {
    if (news.dataset.said === text) return;
    news.dataset.said = text;
    const line = document.createElement("p");
    line.textContent = `${text} `;
    if (offer) {
      const link = document.createElement("a");
      link.href = address;
      link.textContent = "Show it as it is now";
      line.append(link);
    }
    news.className = "notice info";
    news.replaceChildren(line);
  };

  // What a person has begun to do here, or was just told.
  const isAtWork = (article) => {
    const form = formOf(article);
    const selection = getSelection();
    const isSelecting = selection && !selection.isCollapsed && article.contains(selection.anchorNode);
    const isWriting = form && (form.elements.summary.value.trim() || form.contains(document.activeElement));
    return Boolean(isSelecting || isWriting || article.querySelector("#problem"));
  };

  // The same request, still to be decided: only what is told around it.
  const retell = (article, fresh) => {
    for (const part of [".approval-head", ".cautions", ".more"]) {
      const [old, now] = [article.querySelector(part), fresh.querySelector(part)];
      if (old && now && old.textContent !== now.textContent && !old.contains(document.activeElement)) old.replaceWith(now);
    }
    for (const id of ["if-approved", "if-rejected"]) {
      const [old, now] = [article.querySelector(`#${id}`), fresh.querySelector(`#${id}`)];
      if (old && now && old.textContent !== now.textContent) old.textContent = now.textContent;
    }
  };

  const show = (article, fresh) => {
    if (seenBy(article) && seenBy(article) === seenBy(fresh)) return retell(article, fresh);
    const standing = fresh.querySelector("#standing p")?.textContent.trim();
    const text = standing || "What waits here has changed since you opened this page.";
    const isOther = seenBy(article) !== seenBy(fresh) || standing !== article.querySelector("#standing p")?.textContent.trim();
    if (isAtWork(article)) {
      if (isOther) say(text, true);
      return;
    }
    article.replaceWith(fresh);
    prepare();
    if (isOther) say(text, false);
  };

  let isReading = false;
  document.addEventListener("countersign:look", async () => {
    const article = document.querySelector(".approval");
    if (isReading || formOf(article)?.classList.contains("is-sent")) return;
    isReading = true;
    try {
      const page = await countersignRead(address, isAtWork(article));
      const fresh = page?.querySelector(".approval");
      // Sent meanwhile: the answer to that is on its way.
      if (formOf(article)?.classList.contains("is-sent")) return;
      if (fresh) show(article, document.adoptNode(fresh));
      else say("You are no longer signed in. What you wrote is still here; sign in again in another window first.", false);
      document.dispatchEvent(new CustomEvent("countersign:refreshed"));
    } catch {
      // The next look makes up for it.
    } finally {
      isReading = false;
    }
  });
})();
