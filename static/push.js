// Turns push on in this browser where its person asks for it: the browser says where it is reached, and the form goes with that.
// Without script, and where a browser takes no push, the page says what is needed; turning it off is a form like any other.
"use strict";
(() => {
  const form = document.querySelector("form[data-push]");
  if (!form) return;
  const said = document.querySelector("[data-push-said]");
  const without = document.querySelector("[data-push-without]");
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) return;

  const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const toText = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const mark = async (subscription) => {
    const bytes = new TextEncoder().encode(new URL(subscription.endpoint).href);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
  };

  const find = async () => {
    const registration = await navigator.serviceWorker.getRegistration("/");
    return registration ? registration.pushManager.getSubscription() : null;
  };

  const subscribe = async () => {
    await navigator.serviceWorker.register(form.dataset.worker, { scope: "/", updateViaCache: "none" });
    const { pushManager } = await navigator.serviceWorker.ready;
    const before = await pushManager.getSubscription();
    // Its push service may know this portal by a key that is no more.
    const known = before?.options?.applicationServerKey;
    if (before && (!known || toText(known) !== form.dataset.key)) await before.unsubscribe();
    return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: toBytes(form.dataset.key) });
  };

  form.addEventListener("submit", async (event) => {
    if ("answered" in form.dataset) return;
    event.preventDefault();
    if ("asking" in form.dataset) return;
    form.dataset.asking = "";
    said.textContent = "Your browser asks whether it may show notifications.";
    try {
      const subscription = await subscribe();
      form.elements.endpoint.value = subscription.endpoint;
      form.elements.p256dh.value = toText(subscription.getKey("p256dh"));
      form.elements.auth.value = toText(subscription.getKey("auth"));
      form.dataset.answered = "";
      form.requestSubmit();
    } catch (error) {
      said.textContent =
        error.name === "NotAllowedError"
          ? "This browser may not show notifications for this site. Allow them in its settings, then try again."
          : "This browser could not be reached by its push service. Nothing was turned on; try again later.";
    } finally {
      delete form.dataset.asking;
    }
  });

  // What is turned off here is forgotten by this browser too.
  const stop = (card, subscription) => {
    const off = card.querySelector("form[data-push-stop]");
    off?.addEventListener("submit", async (event) => {
      if ("answered" in off.dataset) return;
      event.preventDefault();
      off.dataset.answered = "";
      await subscription.unsubscribe().catch(() => {});
      // A form whose submission is still being told of does not send itself.
      setTimeout(() => off.requestSubmit());
    });
  };

  const show = async () => {
    without.hidden = true;
    const subscription = await find().catch(() => null);
    const here = subscription && document.querySelector(`[data-push-mark="${await mark(subscription)}"]`);
    if (here) {
      here.querySelector("[data-push-here]").hidden = false;
      stop(here, subscription);
    }
    form.hidden = Boolean(here);
  };
  addEventListener("pageshow", () => delete form.dataset.answered);
  show();
})();
