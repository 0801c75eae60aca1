// Overview: create links for other reviewers.

import { post } from "./api.js";
import { announce, note } from "./notices.js";
import { byId } from "./text.js";

byId("invite").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const { link } = await post("/api/invite", { who: byId("name").value });
    const field = byId("link").querySelector("input");
    field.value = link;
    byId("link").hidden = false;
    field.focus();
    field.select();
    announce("The link is ready; it works once.");
  } catch (problem) {
    note(problem.message, { kind: "warn" });
  }
});
