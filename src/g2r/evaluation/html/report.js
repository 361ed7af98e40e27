// The examples: contexts with the replies of the chosen systems, filtered and shown some at a time.
"use strict";
(() => {
  const PAGE = 20;
  const data = JSON.parse(document.getElementById("data").textContent);
  if (!data) return;
  const byId = (id) => document.getElementById(id);
  const text = (index) => data.texts[index];
  const words = data.items.map((item) =>
    [...item.turns, item.original, ...item.replies].filter((i) => i !== null).map(text).join("\n").toLowerCase());
  let found = [];
  let shown = 0;

  /** An element with a class and children; strings become text, never markup. */
  function make(tag, name, ...children) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.append(...children);
    return element;
  }

  /** The text with what was searched for marked in it. */
  function marked(string, wanted) {
    const lower = string.toLowerCase();
    const parts = [];
    let from = 0;
    // Where lower case changes the length of a text, places in the two do not agree: nothing is marked.
    while (wanted && lower.length === string.length) {
      const at = lower.indexOf(wanted, from);
      if (at < 0) break;
      parts.push(string.slice(from, at), make("mark", "", string.slice(at, at + wanted.length)));
      from = at + wanted.length;
    }
    parts.push(string.slice(from));
    return parts;
  }

  const boxes = data.systems.map((name, i) => {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = data.chosen.includes(i);
    byId("systems").append(make("label", "", box, name));
    return box;
  });
  const chosen = () => boxes.flatMap((box, i) => (box.checked ? [i] : []));
  const wanted = () => byId("text").value.trim().toLowerCase();
  const variety = (item, systems) => new Set(systems.map((i) => item.replies[i])).size;

  /** The chosen systems' replies, systems that say the same together. */
  function grouped(item, systems) {
    const groups = new Map();
    for (const i of systems) {
      const reply = item.replies[i];
      groups.set(reply, [...(groups.get(reply) ?? []), i]);
    }
    return groups;
  }

  function replyBlock(names, reply, search, scores, kind) {
    const said = reply === null ? make("dd", "silent", "had nothing to say") : make("dd", "", ...marked(text(reply), search));
    const block = make("div", kind, make("dt", "", names), said);
    if (scores.length) block.append(make("dd", "scores", scores.join(" · ")));
    return block;
  }

  function scoresOf(item, system) {
    return data.scorers.flatMap((name, i) => {
      const value = item.scores?.[system]?.[i] ?? null;
      return value === null ? [] : [`${name} ${value}`];
    });
  }

  function card(number) {
    const item = data.items[number];
    const search = wanted();
    const head = make("h3", "", make("span", "", `${number + 1} of ${data.items.length}`), make("code", "", item.id));
    if (item.leaks) head.append(make("span", "leak", "leaked"));
    const ranks = data.ranked.flatMap((name, i) => (item.ranks ? [`${name} ${item.ranks[i]}`] : []));
    if (ranks.length) head.append(make("span", "", `rank of the original: ${ranks.join(", ")}`));
    const last = item.turns.length - 1;
    const turns = make("ol", "turns", ...item.turns.map((turn, i) =>
      make("li", (last - i) % 2 ? "answering" : "", ...marked(text(turn), search))));
    turns.setAttribute("aria-label", "Context, oldest turn first");
    const replies = make("dl", "replies");
    if (item.original !== null) replies.append(replyBlock("what was said", item.original, search, [], "said"));
    for (const [reply, systems] of grouped(item, chosen())) {
      const names = systems.map((i) => data.systems[i]).join(", ");
      replies.append(replyBlock(names, reply, search, scoresOf(item, systems[0]), ""));
    }
    const element = make("article", "card", head, make("div", "sides", turns, replies));
    element.id = `context-${item.id}`;
    return element;
  }

  function showMore() {
    byId("cards").append(...found.slice(shown, shown + PAGE).map(card));
    shown = Math.min(found.length, shown + PAGE);
    const left = found.length - shown;
    byId("more").hidden = left === 0;
    byId("more").textContent = `Show ${Math.min(PAGE, left)} more`;
  }

  function fits(item, number, systems, search) {
    const mode = byId("mode").value;
    const kinds = variety(item, systems);
    return (!search || words[number].includes(search))
      && (!byId("leaked").checked || item.leaks > 0)
      && (mode === "any" || (mode === "differ" ? kinds > 1 : kinds === 1));
  }

  function refresh() {
    const systems = chosen();
    const search = wanted();
    found = [...data.items.keys()].filter((number) => fits(data.items[number], number, systems, search));
    if (byId("order").value === "spread") {
      const kinds = new Map(found.map((number) => [number, variety(data.items[number], systems)]));
      found.sort((a, b) => kinds.get(b) - kinds.get(a) || a - b);
    }
    shown = 0;
    byId("cards").replaceChildren();
    byId("count").textContent = `${found.length} of ${data.items.length} contexts`;
    showMore();
  }

  /** Follow an address of one context: clear what hides it and show it. */
  function follow() {
    const number = data.items.findIndex((item) => `#context-${item.id}` === location.hash);
    if (number < 0) return;
    byId("filter").reset();
    boxes.forEach((box, i) => { box.checked = data.chosen.includes(i); });
    refresh();
    while (shown <= number) showMore();
    byId(location.hash.slice(1)).scrollIntoView();
  }

  function choose(test) {
    boxes.forEach((box, i) => { box.checked = test(i); });
    refresh();
  }

  byId("filter").hidden = false;
  byId("filter").addEventListener("submit", (event) => event.preventDefault());
  byId("filter").addEventListener("input", refresh);
  byId("students").addEventListener("click", () => choose((i) => data.chosen.includes(i)));
  byId("every").addEventListener("click", () => choose(() => true));
  byId("none").addEventListener("click", () => choose(() => false));
  byId("more").addEventListener("click", showMore);
  addEventListener("hashchange", follow);
  refresh();
  follow();
})();
