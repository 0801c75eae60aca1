// The overview: links for other people.

import { post } from "./net.js";
import { announce, note } from "./talk.js";
import { byId } from "./words.js";

byId("invite").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const { link } = await post("/api/invite", { who: byId("name").value });
    const shown = byId("link").querySelector("input");
    shown.value = link;
    byId("link").hidden = false;
    shown.focus();
    shown.select();
    announce("The link is there; it works once.");
  } catch (problem) {
    note(problem.message, { kind: "warn" });
  }
});
