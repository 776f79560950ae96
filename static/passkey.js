// Asks the browser for a passkey where a form wants one: the portal says what is asked, the browser answers, and the form
// goes with the answer. Without this every form still works, by a code in place of a passkey.
"use strict";
(() => {
  const isHere = () => Boolean(window.PublicKeyCredential && navigator.credentials);

  const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const toText = (bytes) =>
    btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  // The options as the portal writes them, with bytes where the browser wants bytes.
  const options = ({ publicKey }) => {
    const named = (list) => list?.map((one) => ({ ...one, id: toBytes(one.id) }));
    const key = { ...publicKey, challenge: toBytes(publicKey.challenge) };
    if (key.user) key.user = { ...key.user, id: toBytes(key.user.id) };
    if (key.allowCredentials) key.allowCredentials = named(key.allowCredentials);
    if (key.excludeCredentials) key.excludeCredentials = named(key.excludeCredentials);
    return { publicKey: key };
  };

  // The answer as the portal reads it.
  const answer = (credential) => {
    const { response } = credential;
    const told = { clientDataJSON: toText(response.clientDataJSON) };
    if (response.attestationObject) {
      told.attestationObject = toText(response.attestationObject);
      told.transports = response.getTransports?.() ?? [];
    } else {
      told.authenticatorData = toText(response.authenticatorData);
      told.signature = toText(response.signature);
      told.userHandle = response.userHandle?.byteLength ? toText(response.userHandle) : null;
    }
    const id = toText(credential.rawId);
    return JSON.stringify({ id, rawId: id, type: credential.type, response: told, clientExtensionResults: {} });
  };

  const keep = (form, name, value) => {
    let field = form.querySelector(`input[name="${name}"]`);
    if (!field) {
      field = document.createElement("input");
      field.type = "hidden";
      field.name = name;
      form.append(field);
    }
    field.value = value;
  };

  const say = (form, text) => {
    const place = form.querySelector("[data-said]");
    if (place) place.textContent = text;
  };

  // Sends the form as it is now, by the same button.
  const send = (form, button) => {
    form.dataset.answered = "";
    form.requestSubmit(button);
  };

  const offerOtherWay = (form, button) => {
    const place = form.querySelector("[data-said]");
    if (!place || !("otherWay" in form.dataset)) return;
    const other = document.createElement("button");
    other.type = "button";
    other.textContent = "Prove it another way";
    other.addEventListener("click", () => send(form, button));
    place.append(" ", other);
  };

  // What is typed in another form of the page and goes with this one.
  const take = (form) => {
    const from = document.getElementById(form.dataset.from);
    for (const name of form.dataset.takes?.split(" ") ?? []) keep(form, name, from.elements[name].value);
  };

  const ask = async (form, button) => {
    take(form);
    const fields = new FormData(form);
    if (button?.name) fields.set(button.name, button.value);
    const body = new URLSearchParams({ csrf: fields.get("csrf") });
    for (const name of form.dataset.tells?.split(" ") ?? []) body.set(name, fields.get(name) ?? "");
    const asked = await fetch(form.dataset.ask, {
      method: "POST",
      body,
      credentials: "same-origin",
      redirect: "manual",
      headers: { Accept: "application/json" },
    });
    // The portal says what is wrong to the form itself.
    if (!asked.ok) return send(form, button);
    const question = await asked.json();
    const credential = await navigator.credentials[form.dataset.passkey](options(question.options));
    keep(form, "ceremony", question.ceremony);
    keep(form, "credential", answer(credential));
    send(form, button);
  };

  const prepare = () => {
    for (const form of document.querySelectorAll("form[data-passkey]")) form.hidden = form.hidden && !isHere();
  };

  // Before any other script of the page: what is not answered yet is not sent yet.
  document.addEventListener(
    "submit",
    async (event) => {
      const form = event.target;
      if (!("passkey" in form.dataset) || "answered" in form.dataset || !isHere()) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      if ("asking" in form.dataset) return;
      form.dataset.asking = "";
      say(form, "Your browser asks for your passkey.");
      try {
        await ask(form, event.submitter);
      } catch (error) {
        const known = error.name === "InvalidStateError" ? "This device has a passkey of yours already." : "No passkey was given.";
        say(form, `${known} Nothing was sent; press the button again to try once more.`);
        offerOtherWay(form, event.submitter);
      } finally {
        delete form.dataset.asking;
      }
    },
    true,
  );
  // Coming back by the back button finds the page as it was left: an answer counts once.
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-passkey]")) {
      delete form.dataset.answered;
      form.querySelectorAll('input[name="ceremony"], input[name="credential"]').forEach((field) => field.remove());
      say(form, "");
    }
  });
  prepare();
})();
