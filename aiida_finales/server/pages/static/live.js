// Parts that move by themselves: whatever has hx-trigger="finales:news from:body" is asked for again when the server
// tells that something changed, at most every 2.5 s; never while nobody looks. What is open stays open.
(() => {
  const PAUSE = 2500, RETRY = 15000;
  let source = null, waiting = null, last = 0, isLost = false;
  const say = (isLive, why = "connecting again") => {
    const words = isLive ? "live" : `not live: ${why}`;
    for (const item of document.querySelectorAll(".live")) {
      item.querySelector(".shape").className = `shape ${isLive ? "is-good" : "is-warn"}`;
      // who hears the page is told of changes only
      if (item.querySelector(".words").textContent !== words) item.querySelector(".words").textContent = words;
    }
  };
  const tell = () => {
    waiting = null;
    last = Date.now();
    htmx.trigger(document.body, "finales:news");
    document.dispatchEvent(new Event("finales:news"));
  };
  const schedule = () => { waiting ??= setTimeout(tell, Math.max(0, last + PAUSE - Date.now())); };
  const close = () => { source?.close(); source = null; };
  const listen = () => {
    close();
    source = new EventSource("/pages/events");
    source.onopen = () => {
      say(true);
      // nobody told what changed while the connection was lost
      if (isLost) schedule();
      isLost = false;
    };
    // the browser connects again by itself, unless it was refused: then the next news lead to the login
    source.onerror = () => {
      isLost = true;
      say(false);
      if (source?.readyState === EventSource.CLOSED) setTimeout(() => { schedule(); listen(); }, RETRY);
    };
    source.addEventListener("changed", schedule);
  };
  addEventListener("DOMContentLoaded", () => {
    // on a phone the names of the pages are pushed aside: where one is must be in sight
    const bar = document.querySelector("header nav");
    const here = bar?.querySelector("[aria-current]");
    if (here) bar.scrollLeft = here.offsetLeft - (bar.clientWidth - here.offsetWidth) / 2;
    if (!document.querySelector("[data-live]")) return;
    Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, node) => !(name === "open" && node.tagName === "DETAILS");
    listen();
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return close();
      listen();
      schedule();
    });
    addEventListener("pagehide", close);
    // what is shown is old when a part of the page cannot be had
    document.addEventListener("htmx:responseError", (event) => say(false, `the server answers ${event.detail.xhr.status}, load the page again`));
    for (const name of ["htmx:timeout", "htmx:sendError"]) document.addEventListener(name, () => say(false, "the server does not answer"));
    document.addEventListener("htmx:afterSwap", () => { if (source?.readyState === EventSource.OPEN) say(true); });
  });
})();
