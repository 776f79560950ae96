// Shows what a pattern of gates fits while it is typed, by asking for the same page that the button asks for.
"use strict";
(() => {
  const form = document.querySelector("form[data-preview]");
  if (!form) return;
  let typing;
  let newest = 0;

  const look = async () => {
    const turn = ++newest;
    const address = `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`;
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" } });
      // A mistake is told by the button; while somebody types, a field is often wrong for a moment.
      if (turn !== newest || !answer.ok || answer.redirected) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("preview");
      const shown = document.getElementById("preview");
      if (!fresh || !shown) return;
      // What was typed below the preview stays.
      for (const typed of shown.querySelectorAll("input[id]")) {
        const field = fresh.querySelector(`#${CSS.escape(typed.id)}`);
        if (field) field.value = typed.value;
      }
      shown.replaceWith(document.adoptNode(fresh));
    } catch {
      // The button still works.
    }
  };

  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(look, 300);
  });
})();
