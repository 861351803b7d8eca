// A photograph of one's own, dropped on the page or chosen: the process that serves the page explains it
// (served.js); a page of the disk says which process does.

/** Takes photographs; `show(names)` is called for each that was explained. */
function takePhotographs(show) {
  const own = byId("own");
  own.parentElement.hidden = !content.explains;
  own.onchange = async () => {
    await explainAll([...own.files], show);
    own.value = ""; // so that the same can be chosen again
  };
  const over = (is) => document.body.classList.toggle("over", is);
  addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over(true);
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || over(false));
  addEventListener("drop", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    over(false);
    explainAll([...event.dataTransfer.files], show);
  });
}

async function explainAll(files, show) {
  const troubles = [];
  if (!content.explains) troubles.push(content.advice);
  for (const file of content.explains ? files : []) {
    say(`Explaining ${file.name} …`);
    const answer = await explained(file);
    if (answer.error) {
      const named = answer.error.includes(file.name);
      troubles.push(named ? answer.error : `${file.name}: ${answer.error}`);
      continue;
    }
    await show(added(answer));
  }
  byId("trouble").textContent = troubles.join(" ");
  byId("trouble").hidden = !troubles.length;
  if (troubles.length && view) step(view.at);
}

/** Adds an explained picture to the content, in the place of one of the same name. */
function added({ picture, label, photograph, one }) {
  const [model] = content.models;
  model.pictures[picture] = { label, photograph: content.photographs.push(photograph) - 1 };
  model.cases = [...model.cases.filter((each) => each.picture !== picture), one];
  return { ...namesOf(view), figure: "", model: model.name, picture, reference: "" };
}
