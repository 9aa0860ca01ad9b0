// light or dark, and the size for the wall: as the computer says until somebody chooses; kept in this browser alone
(() => {
  const root = document.documentElement;
  const choices = { theme: ["light", "dark"], size: ["wall"] };
  const keep = (name, value) => {
    try { value ? localStorage.setItem(name, value) : localStorage.removeItem(name); } catch { /* a browser that keeps nothing */ }
  };
  for (const [name, values] of Object.entries(choices)) {
    let kept = null;
    try { kept = localStorage.getItem(name); } catch { /* likewise */ }
    if (values.includes(kept)) root.dataset[name] = kept;
  }
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-choose]");
    if (!button) return;
    const name = button.dataset.choose;
    const value = name === "theme" ? (isDark() ? "light" : "dark") : root.dataset.size ? "" : "wall";
    if (value) root.dataset[name] = value; else delete root.dataset[name];
    keep(name, value);
    document.dispatchEvent(new Event("finales:look"));
  });
})();
