// What was typed is not lost when a form was not taken: the session had ended, the form was too old, something in it was
// refused, the server was away. It is kept in this tab, for whoever typed it, until the form is shown again; passwords,
// files and proofs are not kept.
(() => {
  const KEY = "finales:typed", PROOF = "csrf";
  const read = () => { try { return JSON.parse(sessionStorage.getItem(KEY)); } catch { return null; } };
  const write = (kept) => {
    try { kept ? sessionStorage.setItem(KEY, JSON.stringify(kept)) : sessionStorage.removeItem(KEY); } catch { /* a browser that keeps nothing */ }
  };
  const whoIsHere = () => document.querySelector(".who .name")?.textContent || "";
  const isKept = (item) => item.name && item.name !== PROOF && !["password", "file", "submit", "button"].includes(item.type);
  const isChanged = (item) => item.options ? [...item.options].some((one) => one.selected !== one.defaultSelected)
    : ["checkbox", "radio"].includes(item.type) ? item.checked !== item.defaultChecked : item.value !== item.defaultValue;
  const keep = (form, isLost) => {
    const fields = [...new FormData(form)].filter(([name, value]) => typeof value === "string" && [...form.elements].some((item) => item.name === name && isKept(item)));
    write({ who: whoIsHere(), action: form.getAttribute("action"), page: location.pathname + location.search, fields, isLost });
  };
  const put = (form, kept) => {
    const said = (name, value) => kept.fields.some(([key, text]) => key === name && text === value);
    for (const item of [...form.elements].filter(isKept)) {
      const found = kept.fields.find(([name]) => name === item.name);
      if (["checkbox", "radio"].includes(item.type)) item.checked = said(item.name, item.value);
      else if (found && (item.type !== "hidden" || item.name.endsWith("#"))) item.value = found[1];
      if (isChanged(item)) for (let fold = item.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    }
    // of a list that had more items here than the page has: they come back with the next look at the form
    const names = new Set([...form.elements].map((item) => item.name));
    for (const [name, value] of kept.fields) if (!names.has(name)) form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    const note = Object.assign(document.createElement("div"), { className: "error", tabIndex: -1 });
    note.setAttribute("role", "alert");
    note.append(...[kept.words, "This was not sent. What you typed is here again: look at it, and send it once more."].filter(Boolean).map((words) => Object.assign(document.createElement("p"), { textContent: words })));
    form.prepend(note);
    note.focus();
  };
  addEventListener("DOMContentLoaded", () => {
    const kept = read(), main = document.querySelector("main");
    document.addEventListener("submit", ({ target, defaultPrevented }) => {
      const action = target.getAttribute("action") || "";
      if (defaultPrevented || target.method !== "post" || action.endsWith("/login")) return;
      action.endsWith("/logout") ? write(null) : keep(target, false);
    });
    // a part of the page was refused because the session has ended: the browser goes to the login
    document.addEventListener("htmx:beforeOnLoad", ({ detail }) => {
      const form = [...document.forms].find((one) => one.method === "post" && [...one.elements].some((item) => isKept(item) && item.type !== "hidden" && isChanged(item)));
      if (detail.xhr.status === 401 && form) keep(form, true);
    });
    if (!kept) return;
    if (!whoIsHere()) return write({ ...kept, isLost: true }); // the login
    if ("refused" in main.dataset) return write({ ...kept, isLost: true, words: main.querySelector(".error").textContent });
    const isBack = performance.getEntriesByType("navigation")[0]?.type === "back_forward";
    if (!kept.isLost && !(isBack && kept.page === location.pathname + location.search)) return write(null); // it was taken
    if (kept.who !== whoIsHere()) return;
    const names = new Set(kept.fields.map(([name]) => name)), count = (form) => [...form.elements].filter((item) => names.has(item.name)).length;
    const [form] = [...document.forms].filter((one) => one.getAttribute("action") === kept.action).sort((one, other) => count(other) - count(one));
    if (!form) return;
    put(form, kept);
    write(null);
  });
})();
