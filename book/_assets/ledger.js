// The ledger's filter: shows the claims of a post that have a part with the verdict and the chapter
// chosen. The choice stands in the address, so that it can be linked. A list of numbers leads to one
// claim. Without this script the whole ledger shows.
(() => {
  "use strict";
  const form = document.querySelector(".bn-filter");
  const claims = [...document.querySelectorAll(".bn-claim")];
  const sections = [...new Set(claims.map((claim) => claim.closest("section")))];
  const lists = [...form.querySelectorAll("select")];

  function fits(claim) {
    const [verdict, post, chapter] = lists.map((list) => list.value);
    const said = !post || claim.dataset.post.split(" ").includes(post);
    return said && claim.dataset.parts.split(" ").some((part) => {
      const [judged, place] = part.split(":");
      return (!verdict || judged === verdict) && (!chapter || place === chapter);
    });
  }

  function filter() {
    for (const claim of claims) claim.hidden = !fits(claim);
    for (const section of sections) section.hidden = !section.querySelector(".bn-claim:not([hidden])");
    const count = claims.filter((claim) => !claim.hidden).length;
    form.querySelector("output").textContent = `${count} of ${claims.length} claims`;
  }

  function remember() {
    const chosen = new URLSearchParams();
    for (const { name, value } of lists) if (value) chosen.set(name, value);
    const query = chosen.toString();
    try {
      history.replaceState(null, "", query ? `?${query}` : location.pathname + location.hash);
    } catch { /* a page from a folder may not change its address */ }
  }

  // Whoever follows a link to a claim must see it.
  function reveal() {
    const claim = document.getElementById(location.hash.slice(1))?.closest(".bn-claim");
    if (!claim) return;
    if (claim.hidden) form.reset();
    claim.scrollIntoView();
  }

  // Whoever comes with a number goes to it at once.
  function listNumbers() {
    const numbers = document.createElement("select");
    numbers.append(new Option("go to …", ""));
    for (const claim of claims) {
      const { id } = claim.querySelector("[id^=c]");
      numbers.append(new Option(id.toUpperCase(), id));
    }
    const sorted = [...numbers.options].sort((a, b) => a.value.localeCompare(b.value));
    numbers.replaceChildren(...sorted);
    numbers.autocomplete = "off";
    numbers.value = "";
    numbers.addEventListener("change", (event) => {
      event.stopPropagation(); // it filters nothing
      if (location.hash === `#${numbers.value}`) reveal();
      else if (numbers.value) location.hash = numbers.value;
    });
    const label = document.createElement("label");
    label.append("Claim", numbers);
    form.prepend(label);
  }

  const open = form.querySelector("[type=button]");
  open.addEventListener("click", () => {
    const all = open.getAttribute("aria-pressed") === "false";
    open.setAttribute("aria-pressed", all);
    for (const list of document.querySelectorAll(".bn-effects")) list.open = all;
  });

  form.addEventListener("change", () => { filter(); remember(); });
  form.addEventListener("reset", () => setTimeout(() => { filter(); remember(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", reveal);

  const chosen = new URLSearchParams(location.search);
  for (const list of lists) {
    const value = chosen.get(list.name);
    if ([...list.options].some((option) => option.value === value)) list.value = value;
  }
  listNumbers(); // after the lists that filter were found
  form.hidden = false;
  filter();
  if (location.hash) reveal();
})();
