// Shows what the portal pushes, opens the approval when it is clicked, and says when the push service gave this browser another
// address. Nothing else: no page is fetched, answered or kept by it, and nothing is decided here.
"use strict";

// Only an approval's page of this portal; anything else opens the queue.
const pageOf = (path) =>
  typeof path === "string" && /^\/approvals\/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/.test(path)
    ? path
    : "/";

const text = (value, most) => (typeof value === "string" ? value.slice(0, most) : "");

const read = (data) => {
  try {
    return data.json() ?? {};
  } catch {
    return {};
  }
};

// Browsers want something shown for each push, whatever came.
self.addEventListener("push", (event) => {
  const told = read(event.data);
  const silent = told.silent === true;
  const tag = text(told.tag, 64) || "countersign";
  event.waitUntil(
    self.registration.showNotification(text(told.title, 200) || "Countersign", {
      body: text(told.body, 1000) || "Something changed. Open the queue to see what.",
      tag,
      renotify: !silent,
      silent,
      data: { path: pageOf(told.path) },
    }),
  );
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const address = new URL(pageOf(event.notification.data?.path), self.location.origin).href;
  event.waitUntil(
    (async () => {
      const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
      const there = open.find((client) => client.url === address);
      // Never leads a page elsewhere in which somebody may be typing.
      return there ? there.focus() : self.clients.openWindow(address);
    })(),
  );
});

const toText = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const tell = async (before, after) => {
  const keys = (subscription, name) => toText(subscription.getKey(name));
  const body = new URLSearchParams({
    old_endpoint: before.endpoint,
    old_p256dh: keys(before, "p256dh"),
    old_auth: keys(before, "auth"),
    endpoint: after.endpoint,
    p256dh: keys(after, "p256dh"),
    auth: keys(after, "auth"),
  });
  const answer = await fetch("/push/renewed", { method: "POST", body, credentials: "omit", redirect: "error" });
  if (!answer.ok) throw new Error("not taken");
};

self.addEventListener("pushsubscriptionchange", (event) => {
  event.waitUntil(
    (async () => {
      try {
        const before = event.oldSubscription;
        const after = event.newSubscription ?? (await self.registration.pushManager.subscribe(before.options));
        await tell(before, after);
      } catch {
        await self.registration.showNotification("Countersign", {
          body: "This browser is told nothing any more. Turn it on again under My account, Notifications.",
          tag: "countersign-renew",
        });
      }
    })(),
  );
});
