// Follows a decision until it is settled. Without script the page loads itself again every few seconds.
"use strict";
(() => {
  let isReading = false;
  const show = (fresh) => {
    const result = document.querySelector(".result");
    // The notice itself stays: it is a live region, and speaks when what is in it changes.
    const [notice, news] = [result.querySelector(".notice"), fresh.querySelector(".notice")];
    if (notice.textContent !== news.textContent) {
      notice.className = news.className;
      notice.replaceChildren(...news.childNodes);
    }
    const rest = [...fresh.children].filter((part) => part !== news);
    [...result.children].filter((part) => part !== notice).forEach((part, at) => rest[at] && part.replaceWith(rest[at]));
    if (fresh.dataset.live) return;
    // Settled: nothing more will change.
    delete result.dataset.live;
    document.removeEventListener("countersign:look", look);
  };
  const look = async () => {
    const selection = getSelection();
    if (isReading || (selection && !selection.isCollapsed)) return;
    isReading = true;
    try {
      const page = await countersignRead(location.pathname);
      const fresh = page?.querySelector(".result");
      if (!fresh) return;
      document.title = page.title;
      show(document.adoptNode(fresh));
      document.dispatchEvent(new CustomEvent("countersign:refreshed"));
    } catch {
      // The next look makes up for it; what is shown stays true as of its times.
    } finally {
      isReading = false;
    }
  };
  document.addEventListener("countersign:look", look);
})();
